"""The command line does with webhooks what the routes do."""

from pathlib import Path
from typing import Any

import msgspec
import pytest

from tests.support.receiver import ALLOWED, receiving
from undercroft.cli.main import main


def test_a_webhook_from_its_making_to_its_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "undercroft.toml").write_text(ALLOWED)
    monkeypatch.chdir(tmp_path)
    for name in ("DATABASE_URL", "UNDERCROFT_CONFIG", "ENCRYPTION_KEY"):
        monkeypatch.delenv(name, raising=False)

    def typed(*words: str, code: int = 0) -> str:
        assert main(["webhooks", *words]) == code
        printed = capsys.readouterr()
        return printed.out if code != 2 else printed.err

    def told(*words: str) -> Any:
        return msgspec.json.decode(typed(*words, "--json"))

    assert typed("list") == "There are no webhooks.\n"
    with receiving() as receiver:
        made = told("create", receiver.url, "--type", "job.*")
        receiver.secrets.append(made["secret"])
        assert typed("test", made["id"]) == "Delivered: 204.\n"
        assert receiver.events()[0]["type"] == "webhook.test"
        receiver.status = 503
        assert typed("test", made["id"], code=1) == "Not delivered: answered 503.\n"
    assert [(each["id"], each["types"]) for each in told("list")] == [(made["id"], "job.*")]
    assert told("replay", made["id"], "--since", "1d") == {"id": made["id"], "events": 0}
    assert "no public address" in typed("create", "https://10.0.0.1/", code=2)
    assert "no event has the type" in typed("create", "https://example.com/", "--type", "job.dun", code=2)
    assert typed("delete", made["id"]) == f"{made['id']} is deleted.\n"
    assert typed("delete", made["id"], code=1) == ""
