import pytest

from undercroft.errors import InvalidRequest
from undercroft.wire.openai.files import decode_query, filename_of, form_of

MONTH_S = 2_592_000


def test_a_form_says_purpose_and_expiry() -> None:
    assert form_of({"purpose": "batch"}).expires_after_s is None
    form = form_of(
        {"purpose": "user_data", "expires_after[anchor]": "created_at", "expires_after[seconds]": f"{MONTH_S}"}
    )
    assert (form.purpose, form.expires_after_s) == ("user_data", MONTH_S)


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({}, "purpose"),
        ({"purpose": "batch_output"}, "purpose"),
        ({"expires_after[seconds]": "3600"}, "expires_after[anchor]"),
        ({"expires_after[anchor]": "created_at"}, "expires_after[seconds]"),
        ({"expires_after[anchor]": "now", "expires_after[seconds]": "3600"}, "expires_after[anchor]"),
        *(
            ({"expires_after[anchor]": "created_at", "expires_after[seconds]": seconds}, "expires_after[seconds]")
            for seconds in ("3599", f"{MONTH_S + 1}", "1e5", "-3600", "", "٣٦٠٠", "9" * 5000)
        ),
    ],
)
def test_a_form_that_makes_no_sense_is_refused(fields: dict[str, str], param: str) -> None:
    complete = {"purpose": "batch"} | fields if param != "purpose" else fields
    with pytest.raises(InvalidRequest) as caught:
        form_of(complete)
    assert caught.value.param == param


@pytest.mark.parametrize(
    ("sent", "kept"), [("a.txt", "a.txt"), ("/etc/passwd", "passwd"), ("C:\\x\\a b.txt", "a b.txt"), ("ä", "ä")]
)
def test_of_a_path_only_the_name_is_kept(sent: str, kept: str) -> None:
    assert filename_of(sent) == kept


@pytest.mark.parametrize("sent", ["", "a/", "a\r\nb", "x" * 513, "\0"])
def test_a_name_that_no_file_can_have_is_refused(sent: str) -> None:
    with pytest.raises(InvalidRequest):
        filename_of(sent)


@pytest.mark.parametrize("query", [b"limit=0", b"limit=10001", b"order=up", b"limit=x"])
def test_a_query_that_makes_no_sense_is_refused(query: bytes) -> None:
    with pytest.raises(InvalidRequest):
        decode_query(query)
