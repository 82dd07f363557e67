"""What was ingested, and vector stores with their files, on both databases."""

from functools import partial
from typing import Any

import pytest
from msgspec.structs import replace
from sqlalchemy import Connection, update

from undercroft.jobs import repository as job_repository
from undercroft.jobs.effects import NoEffects
from undercroft.jobs.statements import Moment
from undercroft.jobs.types import JobSpec, Limits
from undercroft.record import Who
from undercroft.storage.engine import Database
from undercroft.storage.schema import jobs
from undercroft.vectors.ingestion import repository as sources
from undercroft.vectors.ingestion.types import Ingested, Place, Plan
from undercroft.vectors.knowledge import file_rows, repository
from undercroft.vectors.knowledge.types import Batch, Cursor, Knowledge, KnowledgeFile

NOW = 1_800_000_000_000_000
DAY = 86_400_000_000
PLACE = Place(organisation="default", collection="notes", namespace="n")


def begun(connection: Connection, generation: str, *, place: Place = PLACE) -> None:
    sources.begin(connection, place, "a", writing=generation, now_us=NOW)


def published(connection: Connection, generation: str, *, place: Place = PLACE) -> list[str] | None:
    fresh = sources.Published(generation=generation, digest=f"d-{generation}", chunks=2, tokens=9, text_bytes=30)
    return sources.publish(connection, place, "a", fresh, now_us=NOW)


def visible(database: Database, *generations: str, organisation: str = "default") -> set[str]:
    return set(database.read_sync(lambda connection: sources.visible(connection, organisation, generations)))


def test_a_generation_is_seen_from_its_publication_to_the_next(database: Database) -> None:
    database.write_sync(lambda connection: begun(connection, "g1"))
    assert visible(database, "g1") == set()
    assert database.write_sync(lambda connection: published(connection, "g1")) == []
    assert visible(database, "g1", "g0") == {"g1"}
    assert visible(database, "g1", organisation="other") == set()
    database.write_sync(lambda connection: begun(connection, "g2"))
    assert visible(database, "g1", "g2") == {"g1"}
    assert database.write_sync(lambda connection: published(connection, "g2")) == ["g1"]
    assert visible(database, "g1", "g2") == {"g2"}
    database.write_sync(lambda connection: sources.cleaned(connection, PLACE, "a", ["g1"]))
    known = database.read_sync(lambda connection: sources.find(connection, PLACE, "a"))
    assert known is not None
    assert (known.litter, known.digest, known.chunks) == ([], "d-g2", 2)


def test_who_was_overtaken_publishes_nothing(database: Database) -> None:
    database.write_sync(lambda connection: begun(connection, "g1"))
    database.write_sync(lambda connection: begun(connection, "g2"))
    assert database.write_sync(lambda connection: published(connection, "g1")) is None
    assert database.write_sync(lambda connection: published(connection, "g2")) == ["g1"]
    assert visible(database, "g1", "g2") == {"g2"}


def test_a_hidden_source_is_forgotten_once_it_is_clean(database: Database) -> None:
    database.write_sync(lambda connection: begun(connection, "g1"))
    database.write_sync(lambda connection: published(connection, "g1"))
    database.write_sync(lambda connection: begun(connection, "g2"))
    assert database.write_sync(lambda connection: sources.hide(connection, PLACE, "a")) == ["g1", "g2"]
    assert visible(database, "g1", "g2") == set()
    assert database.write_sync(lambda connection: published(connection, "g2")) is None
    assert database.read_sync(lambda connection: sources.littered(connection, PLACE)) == ["a"]
    database.write_sync(lambda connection: sources.cleaned(connection, PLACE, "a", ["g1", "g2"]))
    assert database.read_sync(lambda connection: sources.find(connection, PLACE, "a")) is None
    assert database.write_sync(lambda connection: sources.hide(connection, PLACE, "a")) is None


def knowledge(name: str, **fields: Any) -> Knowledge:
    plain = Knowledge(
        organisation="default", id=name, name=name, description="", metadata={"a": "b"}, model="m", collection="c",
        expires_days=None, expires_us=None, active_us=NOW, created_us=NOW,
    )  # fmt: skip
    return replace(plain, **fields)


def made(database: Database, *stores: Knowledge) -> None:
    for each in stores:
        database.write_sync(partial(repository.make, made=each))


def named(database: Database, organisation: str = "default", **cursor: Any) -> list[str] | None:
    found = database.read_sync(
        lambda connection: repository.listed(connection, Cursor(**cursor), organisation=organisation)
    )
    return None if found is None else [each.id for each in found]


def test_vector_stores_are_their_organisations(database: Database) -> None:
    made(database, knowledge("vs_1"), knowledge("vs_1", organisation="other", description="theirs"))
    found = database.read_sync(lambda connection: repository.find(connection, organisation="default", id="vs_1"))
    assert found == knowledge("vs_1")
    assert named(database) == ["vs_1"]
    assert named(database, "third") == []
    assert not database.write_sync(lambda connection: repository.leave(connection, organisation="third", id="vs_1"))


def test_vector_stores_are_paged_both_ways(database: Database) -> None:
    made(database, *(knowledge(f"vs_{number}", created_us=NOW + number // 2) for number in range(5)))
    assert named(database, limit=10) == ["vs_4", "vs_3", "vs_2", "vs_1", "vs_0"]
    assert named(database, limit=1, after="vs_3") == ["vs_2", "vs_1"], "one more than asked for"
    assert named(database, limit=10, before="vs_3") == ["vs_4"]
    assert named(database, limit=10, order="asc", after="vs_1") == ["vs_2", "vs_3", "vs_4"]
    assert named(database, limit=10, after="vs_9") is None


def test_use_puts_expiry_off_but_wakes_nothing(database: Database) -> None:
    lasting = knowledge("vs_1", expires_days=2, expires_us=NOW + DAY)
    over = knowledge("vs_2", expires_days=2, expires_us=NOW - 1)
    made(database, lasting, over)
    for each in (lasting, over):
        database.write_sync(partial(repository.touch, used=each, now_us=NOW))
    found = [
        database.read_sync(partial(repository.find, organisation="default", id=each.id)) for each in (lasting, over)
    ]
    assert [each and each.expires_us for each in found] == [NOW + 2 * DAY, NOW - 1]


def job(database: Database, name: str, *, state: str = "running") -> None:
    spec = JobSpec(
        id=name, who=Who(), kind="ingest", input=b"{}", limits=Limits(),
    )  # fmt: skip
    moment = Moment(NOW, NOW)
    database.write_sync(lambda connection: job_repository.accept(connection, spec, moment=moment, effects=NoEffects()))
    change = update(jobs).where(jobs.c.id == name).values(state=state, error='{"code": "x", "message": "why"}')
    database.write_sync(lambda connection: connection.execute(change).rowcount)


def file(name: str, **fields: Any) -> KnowledgeFile:
    plain = KnowledgeFile(
        store="vs_1", id=name, batch="b", job=f"job_{name}", status="in_progress", error_code="", error="",
        attributes={"n": 1, "x": 0.5, "t": True, "s": "é"}, plan=Plan(size=100, overlap=10), usage_bytes=0,
        created_us=NOW,
    )  # fmt: skip
    return replace(plain, **fields)


def put(database: Database, *files: KnowledgeFile) -> None:
    for each in files:
        database.write_sync(partial(file_rows.put, file=each, organisation="default"))


@pytest.mark.parametrize(
    ("state", "status", "code"),
    [("running", "in_progress", ""), ("delayed", "in_progress", ""), ("dead", "failed", "server_error"),
     ("cancelled", "cancelled", ""), (None, "failed", "server_error")],
)  # fmt: skip
def test_a_file_in_progress_is_as_its_job(database: Database, state: str | None, status: str, code: str) -> None:
    made(database, knowledge("vs_1"))
    if state is not None:
        job(database, "job_f", state=state)
    put(database, file("f"))
    found = database.read_sync(partial(file_rows.find, store="vs_1", id="f", organisation="default"))
    assert found is not None
    assert (found.status, found.error_code, found.attributes) == (status, code, file("f").attributes)
    if state == "dead":
        assert found.error == "why"
    counts = database.read_sync(partial(file_rows.counts, stores=["vs_1", "vs_2"], organisation="default"))
    assert getattr(counts["vs_1"], status) == counts["vs_1"].total == 1
    assert counts["vs_2"].total == 0
    for wanted in ("in_progress", "completed", "failed", "cancelled"):
        listed = database.read_sync(
            partial(file_rows.listed, cursor=Cursor(), store="vs_1", status=wanted, organisation="default")
        )
        assert [each.id for each in listed or ()] == (["f"] if wanted == status else [])


def test_only_the_latest_job_of_a_file_completes_it(database: Database) -> None:
    made(database, knowledge("vs_1"))
    put(database, file("f"), file("f", job="job_later"))
    ingested = Ingested(source="f", chunks=1, tokens=2, embedded=1, text_bytes=7)
    complete = partial(file_rows.complete, store="vs_1", id="f", ingested=ingested, organisation="default")
    assert not database.write_sync(partial(complete, job="job_f"))
    assert database.write_sync(partial(complete, job="job_later"))
    found = database.read_sync(partial(file_rows.find, store="vs_1", id="f", organisation="default"))
    assert found is not None
    assert (found.status, found.usage_bytes) == ("completed", 7)


def test_a_cancelled_batch_names_the_jobs_that_are_at_it(database: Database) -> None:
    made(database, knowledge("vs_1"))
    batch = Batch(id="b", store="vs_1", is_cancelled=False, created_us=NOW)
    database.write_sync(partial(file_rows.make_batch, batch=batch, organisation="default"))
    put(database, file("f"), file("g", status="completed", usage_bytes=5), file("h", batch=""))
    assert database.write_sync(partial(file_rows.cancel, batch="b", organisation="default")) == ["job_f"]
    counts = database.read_sync(partial(file_rows.batch_counts, batch="b", organisation="default"))
    assert (counts.cancelled, counts.completed, counts.total, counts.usage_bytes) == (1, 1, 2, 5)
    found = database.read_sync(partial(file_rows.find_batch, store="vs_1", id="b", organisation="default"))
    assert found == replace(batch, is_cancelled=True)
    assert database.read_sync(partial(file_rows.find_batch, store="vs_2", id="b", organisation="default")) is None


def test_what_has_expired_or_is_half_deleted_is_found_for_the_sweep(database: Database) -> None:
    made(database, knowledge("vs_1", expires_us=NOW - 1), knowledge("vs_2", expires_us=NOW - 1), knowledge("vs_3"))
    put(database, file("f"))
    assert database.read_sync(partial(repository.has_work, now_us=NOW))
    assert [each.id for each in database.read_sync(partial(repository.expired, now_us=NOW))] == ["vs_1"]
    database.write_sync(lambda connection: repository.clear(connection, organisation="default", id="vs_1"))
    assert not database.read_sync(partial(repository.has_work, now_us=NOW))
    assert database.write_sync(lambda connection: repository.leave(connection, organisation="default", id="vs_3"))
    assert [each.id for each in database.read_sync(repository.leaving)] == ["vs_3"]
    assert named(database) == ["vs_2", "vs_1"]
    database.write_sync(lambda connection: repository.forget(connection, organisation="default", id="vs_3"))
    assert database.read_sync(repository.leaving) == []
