"""`undercroft usage` and `undercroft ledger verify`, as typed."""

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import update

from tests.support.ledger import ProcessDisk, ended, opened
from undercroft.cli.main import main
from undercroft.clock import SystemClock
from undercroft.ids import Ids
from undercroft.ledger.spool import Spool
from undercroft.storage.engine import open_database
from undercroft.storage.schema import calls

CLOCK = SystemClock()


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("DATABASE_URL", "UNDERCROFT_CONFIG", "REDIS_URL", "CELERY_BROKER_URL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def server(here: Path) -> Iterator[Spool]:
    """The spool of a running process; another one died with a call open."""
    disk = ProcessDisk()
    dead = Spool(here / ".undercroft" / "spool", clock=CLOCK, ids=Ids(CLOCK), disk=disk)
    dead.append(ended("a"))
    dead.append(opened("b"))
    disk.die()
    spool = Spool(here / ".undercroft" / "spool", clock=CLOCK, ids=Ids(CLOCK))
    spool.append(ended("c", model="other", price="", cost_nano=0))
    spool.append(ended("d", started_us=CLOCK.now_us()))
    spool.append(opened("e"))
    yield spool
    asyncio.run(spool.close())


def answer(capsys: pytest.CaptureFixture[str], *arguments: str) -> dict[str, object]:
    assert main([*arguments, "--json"]) == 0
    found: dict[str, object] = json.loads(capsys.readouterr().out)
    return found


def test_usage_counts_what_running_and_dead_processes_still_have_on_disk(
    server: Spool, capsys: pytest.CaptureFixture[str]
) -> None:
    found = answer(capsys, "usage", "--by", "model")
    assert found["total"] == {
        "model": "total",
        "calls": 4,
        "errors": 1,
        "input": 380,
        "cache_read": 0,
        "cache_write": 0,
        "output": 30,
        "reasoning": 0,
        "cost_usd": "0.00009",
        "unknown_price": 2,
        "estimated": 1,
    }
    assert found["pending"] == ["1 call is still running and not counted."]
    assert answer(capsys, "usage")["total"] == found["total"]


@pytest.mark.parametrize(
    ("by", "groups"),
    [("key", ["key_1"]), ("model", ["chat", "other"]), ("provider", ["openai"]), ("day", ["2026-01-01", ""])],
)
def test_usage_is_grouped_as_asked(
    server: Spool, capsys: pytest.CaptureFixture[str], by: str, groups: list[str]
) -> None:
    found = answer(capsys, "usage", "--by", by)["groups"]
    assert isinstance(found, list)
    assert [group[by] for group in found][:1] == groups[:1]
    assert len(found) == len(groups)


def test_usage_since_a_time(server: Spool, capsys: pytest.CaptureFixture[str]) -> None:
    for since, count in (("1h", 1), ("2026-01-01", 4), ("2026-01-01T00:00:01+00:00", 1)):
        total = answer(capsys, "usage", "--since", since)["total"]
        assert isinstance(total, dict)
        assert total["calls"] == count


def test_usage_prints_a_table(server: Spool, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["usage"]) == 0
    printed = capsys.readouterr()
    assert "cost_usd" in printed.out
    assert "total" in printed.out
    assert "still running" in printed.err


def test_a_time_that_is_none_is_bad_usage(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["usage", "--since", "yesterday"]) == 2
    assert "write 7d, 12h or 2026-01-01" in capsys.readouterr().err


def test_a_folder_without_a_ledger_is_told_and_left_untouched(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for command in (["usage"], ["ledger", "verify"]):
        assert main(command) == 1
        assert "There is no ledger in" in capsys.readouterr().err
    assert list(here.iterdir()) == []


def test_the_books_are_right_and_then_wrong(server: Spool, here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["usage"]) == 0
    capsys.readouterr()
    assert main(["ledger", "verify"]) == 0
    assert capsys.readouterr().out.endswith("The books are right.\n")

    database = open_database(None, data_dir=here / ".undercroft", pool_size=1, clock=CLOCK)
    database.write_sync(lambda connection: connection.execute(update(calls).values(cost_nano=7)).rowcount)
    database.close()
    assert main(["ledger", "verify"]) == 1
    printed = capsys.readouterr().out
    assert "WRONG: call a is booked at 7 nano-dollars" in printed
    assert printed.endswith("The books are wrong.\n")
    assert main(["ledger", "verify", "--json"]) == 1
    assert len(json.loads(capsys.readouterr().out)["faults"]) > 3
