"""Stored chat completions and tenants."""

from pathlib import Path

from tests.support.keys import add_key
from tests.support.server import serving, until

PATH = "/v1/chat/completions"


def test_another_organisation_never_sees_a_stored_answer(tmp_path: Path) -> None:
    with serving(tmp_path) as server:
        until(lambda: server.ask("/health/ready").status == 200)
        mine = add_key(server.folder).text
        theirs = add_key(server.folder, organisation="acme").text
        until(lambda: {server.ask("/v1/models", key=key).status for key in (mine, theirs)} == {200})
        kept = server.chat(key=mine, store=True, metadata={"a": "b"}).json["id"]

        assert server.ask(f"{PATH}/{kept}", key=mine).status == 200
        assert server.ask(f"{PATH}/{kept}", key=theirs).status == 404
        assert server.ask(f"{PATH}/{kept}/messages", key=theirs).status == 404
        assert server.ask(f"{PATH}/{kept}", method="DELETE", key=theirs).status == 404
        assert server.ask(f"{PATH}/{kept}", json={"metadata": {}}, key=theirs).status == 404
        assert server.ask(PATH, key=theirs).json["data"] == []
        assert [each["id"] for each in server.ask(PATH, key=mine).json["data"]] == [kept]
