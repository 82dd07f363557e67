"""An event is there exactly when what it tells of is, and in its order."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, Row, event, select

from tests.support.clock import ManualClock
from undercroft.events import webhooks
from undercroft.events.outbox import Outbox
from undercroft.events.repository import forget_marks, has_work
from undercroft.events.types import Fact, JobData, UpstreamData, decode_data
from undercroft.events.webhooks import Webhook
from undercroft.storage.engine import Database, open_database
from undercroft.storage.schema import events, organisations


def stored(database: Database) -> "list[Row[Any]]":
    return database.read_sync(lambda connection: list(connection.execute(select(events).order_by(events.c.number))))


def job(id: str, **fields: Any) -> Fact:
    return Fact("job.succeeded", JobData(id=id, kind="chat", **fields))


def append(outbox: Outbox, facts: list[Fact], connection: Connection) -> None:
    outbox.append(connection, *facts)


def test_an_event_comes_back_as_it_was_told(database: Database) -> None:
    fact = Fact("upstream.opened", UpstreamData(id="chat/0", provider="openai", why="failures", rest_s=10.0))
    clock = ManualClock()

    (told,) = database.write_sync(lambda connection: Outbox(clock).append(connection, fact))

    (row,) = stored(database)
    assert (row.id, row.type, row.subject, row.organisation) == (told.id, "upstream.opened", "chat/0", "default")
    assert row.at_us == clock.now_us()
    assert decode_data(row.type, row.data) == fact.data
    assert not row.spread


def test_what_is_taken_back_has_told_nothing(database: Database) -> None:
    def work(connection: Connection) -> None:
        connection.execute(organisations.insert().values(id="other", name="other", created_us=0))
        Outbox(ManualClock()).append(connection, job("job_1"))
        raise RuntimeError("no")

    with pytest.raises(RuntimeError):
        database.write_sync(work)

    assert stored(database) == []


def test_what_was_told_is_not_read_again_to_find_what_is_new(tmp_path: Path) -> None:
    database = open_database(None, data_dir=tmp_path, pool_size=1, clock=ManualClock())
    statements: list[tuple[str, Any]] = []

    def look(connection: Connection) -> list[str]:
        event.listen(connection.engine, "before_cursor_execute", lambda *given: statements.append(given[2:4]))
        has_work(connection, now_us=0)
        asked, parameters = statements[0]
        return [row[3] for row in connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {asked}", parameters)]

    assert any("events_unspread" in step for step in database.write_sync(look))
    database.close()


def test_what_nobody_wants_is_not_spread_and_wakes_nobody(database: Database) -> None:
    outbox = Outbox(ManualClock(), heard=lambda name: name == "job.dead")
    woken: list[str] = []
    outbox.appended = lambda: woken.append("woken")
    outbox.has_webhooks = False
    hook = Webhook(id="wh_1", organisation="theirs", url="https://hook.example/", types=("*",), secret="", created_us=0)

    def tell(*facts: Fact) -> list[tuple[str, bool]]:
        before = len(stored(database))
        database.write_sync(partial(append, outbox, list(facts)))
        return [(row.subject, bool(row.spread)) for row in stored(database)[before:]]

    assert tell(job("job_1")) == [("job_1", True)]
    assert woken == []
    dead, posted = Fact("job.dead", JobData(id="job_2", kind="chat")), job("job_3")
    assert tell(dead, replace(posted, address="https://else.example/")) == [("job_2", False), ("job_3", False)]
    assert woken == ["woken"]

    database.write_sync(partial(webhooks.add, webhook=hook))
    assert tell(job("job_4")) == [("job_4", True)]
    assert tell(replace(job("job_5"), organisation="theirs")) == [("job_5", False)]
    assert woken == ["woken"], "the dispatcher has not seen the webhook yet, and looks by itself"
    database.write_sync(partial(webhooks.disable, webhook=hook, reason="gone"))
    assert tell(replace(job("job_6"), organisation="theirs")) == [("job_6", True)]


def test_numbers_follow_the_order_in_which_they_were_told(database: Database) -> None:
    outbox = Outbox(ManualClock())

    for first in (0, 3):
        facts = [job(f"job_{first + place}") for place in range(3)]
        database.write_sync(partial(append, outbox, facts))

    assert [row.subject for row in stored(database)] == [f"job_{place}" for place in range(6)]
    assert len({row.number for row in stored(database)}) == 6


def test_many_at_once_get_a_number_and_an_id_each(database: Database) -> None:
    outbox = Outbox(ManualClock())

    def tell(place: int) -> None:
        database.write_sync(lambda connection: outbox.append(connection, job(f"job_{place}")))

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(tell, range(40)))

    assert len({row.id for row in stored(database)}) == len({row.number for row in stored(database)}) == 40


def test_what_several_notice_is_told_by_the_first_until_its_mark_is_forgotten(database: Database) -> None:
    outboxes = [Outbox(ManualClock()) for _ in range(4)]

    def tell(outbox: Outbox, fact: Fact) -> bool:
        work = partial(outbox.append_once, fact=fact, mark="spent", until_us=1000)
        return database.write_sync(work)

    with ThreadPoolExecutor(4) as pool:
        assert sorted(pool.map(tell, outboxes, [job("job_1")] * 4)) == [False, False, False, True]
    theirs = Fact("job.succeeded", JobData(id="job_1", kind="chat"), "theirs")
    assert tell(outboxes[0], theirs), "another organisation's is another"
    assert len(stored(database)) == 2

    database.write_sync(partial(forget_marks, before_us=1000))
    assert not tell(outboxes[0], job("job_1"))
    database.write_sync(partial(forget_marks, before_us=1001))
    assert tell(outboxes[0], job("job_1"))


def test_nothing_told_writes_nothing(database: Database) -> None:
    assert database.write_sync(lambda connection: Outbox(ManualClock()).append(connection)) == []
    assert stored(database) == []
