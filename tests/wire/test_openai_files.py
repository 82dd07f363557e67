"""The official openai SDK against a running server: files."""

import httpx2 as httpx
import openai
import pytest

from tests.support.server import Server

DATA = b'{"a": 1}\n\x00\xff' * 100


@pytest.fixture(autouse=True)
def no_files(client: openai.OpenAI) -> None:
    for file in client.files.list():
        client.files.delete(file.id)


def test_a_file_goes_round(client: openai.OpenAI) -> None:
    file = client.files.create(file=("my file.bin", DATA), purpose="user_data")
    assert (file.object, file.bytes, file.filename, file.purpose) == ("file", len(DATA), "my file.bin", "user_data")
    assert (file.status, file.expires_at) == ("processed", None)
    assert client.files.retrieve(file.id) == file
    assert client.files.content(file.id).read() == DATA
    gone = client.files.delete(file.id)
    assert (gone.id, gone.object, gone.deleted) == (file.id, "file", True)
    for ask in (client.files.retrieve, client.files.content, client.files.delete):
        with pytest.raises(openai.NotFoundError) as caught:
            ask(file.id)
        assert caught.value.code == "unknown_file"


def test_an_empty_file_is_a_file(client: openai.OpenAI) -> None:
    file = client.files.create(file=("empty", b""), purpose="assistants")
    assert file.bytes == 0
    assert client.files.content(file.id).read() == b""


def test_files_expire_when_their_upload_says_so(client: openai.OpenAI) -> None:
    file = client.files.create(
        file=("a", b"x"), purpose="user_data", expires_after={"anchor": "created_at", "seconds": 3600}
    )
    assert file.expires_at == file.created_at + 3600
    batch = client.files.create(file=("b", b"x"), purpose="batch")
    assert batch.expires_at == batch.created_at + 30 * 86_400


def test_files_are_paged_by_the_sdk(client: openai.OpenAI) -> None:
    made = [client.files.create(file=(f"{number}", b"x"), purpose="vision").id for number in range(5)]
    assert [file.id for file in client.files.list()] == made[::-1]
    assert [file.id for file in client.files.list(limit=2)] == made[::-1]
    assert [file.id for file in client.files.list(limit=2, order="asc")] == made
    assert [file.id for file in client.files.list(purpose="batch")] == []
    page = client.files.list(limit=2)
    assert (page.has_more, page.model_extra) == (True, {"object": "list", "first_id": made[4], "last_id": made[3]})
    with pytest.raises(openai.BadRequestError) as caught:
        client.files.list(after="file-none")
    assert caught.value.param == "after"


def test_bad_uploads_are_refused_and_leave_nothing(client: openai.OpenAI, server: Server) -> None:
    with pytest.raises(openai.BadRequestError) as caught:
        client.files.create(file=("a", b"x"), purpose="nothing")  # type: ignore[arg-type]
    assert caught.value.param == "purpose"
    url = f"{server.url}/v1/files"
    for form in (
        {"data": {"purpose": "batch"}},
        {"data": {"purpose": "batch"}, "files": {"other": ("a", b"x")}},
        {"data": {"purpose": "batch"}, "files": [("file", ("a", b"x")), ("file", ("b", b"x"))]},
        {"files": {"file": ("a", b"x")}},
        {"data": {"purpose": "x" * 5000}, "files": {"file": ("a", b"x")}},
        {"json": {"purpose": "batch"}},
        {"content": b"--x--", "headers": {"content-type": "multipart/form-data; boundary=y"}},
    ):
        answer = httpx.post(url, **form)
        assert answer.status_code == 400, answer.text
        assert set(answer.json()["error"]) == {"message", "type", "code", "param"}
    assert list(client.files.list()) == []


def test_the_file_may_come_before_its_purpose(client: openai.OpenAI, server: Server) -> None:
    body = (
        b'--x\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\nfirst\r\n'
        b'--x\r\nContent-Disposition: form-data; name="purpose"\r\n\r\nvision\r\n--x--\r\n'
    )
    answer = httpx.post(
        f"{server.url}/v1/files", content=body, headers={"content-type": "multipart/form-data; boundary=x"}
    )
    assert answer.status_code == 200
    assert client.files.content(answer.json()["id"]).read() == b"first"


def test_no_browser_takes_a_file_for_a_page(client: openai.OpenAI, server: Server) -> None:
    file = client.files.create(file=("page.html", b"<script>alert(1)</script>"), purpose="user_data")
    answer = httpx.get(f"{server.url}/v1/files/{file.id}/content")
    assert answer.headers["content-type"] == "application/octet-stream"
    assert answer.headers["content-disposition"] == "attachment"
    assert answer.headers["x-content-type-options"] == "nosniff"
