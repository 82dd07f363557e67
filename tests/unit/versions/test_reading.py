import pytest

from undercroft.errors import InvalidRequest
from undercroft.versions.content import Kind, digest_of
from undercroft.versions.reading import read_content


@pytest.mark.parametrize(
    ("kind", "value", "says"),
    [
        ("retrieval", {"collection": "manual", "template": "no place"}, "passages"),
        ("retrieval", {"collection": "manual", "top_k": 0}, "top_k"),
        ("retrieval", {"collection": "manual", "k": 3}, "unknown field"),
        ("guardrail", {"input": [{"check": "pii", "action": "shout"}]}, "shout"),
        ("guardrail", {"input": [{"action": "mask"}]}, "check"),
        ("model", {}, "target"),
    ],
)
def test_what_is_no_such_content_is_refused_with_what_is_wrong(kind: Kind, value: object, says: str) -> None:
    with pytest.raises(InvalidRequest, match=says):
        read_content(kind, value)


def test_an_address_does_not_change_where_a_default_is_written_out() -> None:
    short = read_content("retrieval", {"collection": "manual"})
    long = read_content("retrieval", {"collection": "manual", "top_k": 5, "role": "user", "mode": "vector"})

    assert digest_of("retrieval", short) == digest_of("retrieval", long)
