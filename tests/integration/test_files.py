"""Files and tenants; files and memory; files of an organisation under PostgreSQL."""

import http.client
from collections.abc import Iterator
from contextlib import closing
from itertools import chain
from pathlib import Path

import msgspec
import pytest

from tests.support.keys import add_key
from tests.support.server import Server, run, serving, until

MEGABYTE = 1_000_000
SIZE = 200 * MEGABYTE
ALLOWED_GROWTH = 50 * MEGABYTE
HEAD = b'--x\r\nContent-Disposition: form-data; name="purpose"\r\n\r\nuser_data\r\n'
HEAD += b'--x\r\nContent-Disposition: form-data; name="file"; filename="large.bin"\r\n\r\n'
TAIL = b"\r\n--x--\r\n"


def connected(server: Server) -> "closing[http.client.HTTPConnection]":
    return closing(http.client.HTTPConnection("127.0.0.1", server.port, timeout=120))


def id_in(body: bytes) -> str:
    named: str = msgspec.json.decode(body)["id"]
    return named


def upload(server: Server, pieces: Iterator[bytes], size: int, *, key: str | None = None) -> tuple[int, bytes]:
    """A form with a file of `size` bytes, sent as it is made."""
    headers = {"content-type": "multipart/form-data; boundary=x", "content-length": f"{len(HEAD) + size + len(TAIL)}"}
    if key is not None:
        headers["authorization"] = f"Bearer {key}"
    with connected(server) as connection:
        connection.request("POST", "/v1/files", body=chain((HEAD,), pieces, (TAIL,)), headers=headers)
        answer = connection.getresponse()
        return answer.status, answer.read()


@pytest.mark.parametrize("store", ["directory", "database"])
def test_a_file_of_200_mb_does_not_raise_memory_by_50(tmp_path: Path, store: str) -> None:
    toml = f'[files]\nstore = "{store}"\n[[models]]\nname = "m"\ndeployments = [{{ provider = "scripted" }}]\n'
    with serving(tmp_path, toml=toml) as server:
        assert upload(server, iter([b"x"]), 1)[0] == 200  # what is loaded once is no growth
        before = highest = server.resident_bytes

        def pieces() -> Iterator[bytes]:
            nonlocal highest
            for number in range(SIZE // MEGABYTE):
                highest = max(highest, server.resident_bytes)
                yield bytes([number % 256]) * MEGABYTE

        status, body = upload(server, pieces(), SIZE)
        assert status == 200, body
        with connected(server) as connection:
            connection.request("GET", f"/v1/files/{id_in(body)}/content")
            answer = connection.getresponse()
            for number in range(SIZE // MEGABYTE):
                highest = max(highest, server.resident_bytes)
                assert answer.read(MEGABYTE) == bytes([number % 256]) * MEGABYTE
            assert answer.read() == b""
        assert highest - before < ALLOWED_GROWTH, f"{(highest - before) / MEGABYTE:.0f} MB more"


def test_a_file_that_is_too_large_is_refused_and_leaves_nothing(tmp_path: Path) -> None:
    toml = '[files]\nmax_bytes = 1000000\n[[models]]\nname = "m"\ndeployments = [{ provider = "scripted" }]\n'
    with serving(tmp_path, toml=toml) as server:
        headers = {"content-type": "multipart/form-data; boundary=x"}
        with connected(server) as connection:
            body = iter((HEAD, b"x" * 1_100_000))
            connection.request("POST", "/v1/files", headers=headers, body=body, encode_chunked=True)
            assert connection.getresponse().status == 413
        until(lambda: not any(path.is_file() for path in (tmp_path / ".undercroft" / "files").rglob("*")))
        assert server.ask("/v1/files").json["data"] == []


def test_another_organisation_never_sees_a_file(tmp_path: Path) -> None:
    with serving(tmp_path) as server:
        mine, theirs = add_key(tmp_path).text, add_key(tmp_path, organisation="acme").text
        until(lambda: {server.ask("/v1/models", key=key).status for key in (mine, theirs)} == {200})
        assert upload(server, iter([b"x"]), 1)[0] == 401
        status, body = upload(server, iter([b"x"]), 1, key=mine)
        assert status == 200
        kept = id_in(body)
        assert server.ask(f"/v1/files/{kept}/content", key=mine).status == 200
        for path, method in ((f"/{kept}", "GET"), (f"/{kept}/content", "GET"), (f"/{kept}", "DELETE")):
            assert server.ask(f"/v1/files{path}", method=method, key=theirs).status == 404
        assert server.ask("/v1/files", key=theirs).json["data"] == []
        assert [each["id"] for each in server.ask("/v1/files", key=mine).json["data"]] == [kept]


def test_with_postgresql_files_are_in_the_database(tmp_path: Path, postgres_url: str) -> None:
    extra = {"DATABASE_URL": postgres_url}
    assert run(tmp_path, "migrate", extra=extra).exit_code == 0
    with serving(tmp_path, extra=extra) as server:
        status, body = upload(server, iter([b"y" * 3_000_000]), 3_000_000)
        assert status == 200
        named = id_in(body)
    with serving(tmp_path / "elsewhere", extra=extra) as server:
        assert server.ask(f"/v1/files/{named}/content").body == b"y" * 3_000_000
        assert not (tmp_path / ".undercroft" / "files").exists()
