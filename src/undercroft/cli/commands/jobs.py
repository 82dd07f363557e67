"""`undercroft jobs list|show|retry|cancel|dead|wait`."""

import time
from argparse import ArgumentParser, Namespace
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Final, cast, get_args

from sqlalchemy import Connection

from undercroft.access.actions import Action
from undercroft.access.audit import Act, audited
from undercroft.assembly.job_effects import ToldEffects
from undercroft.assembly.job_views import delivery_of, view_of
from undercroft.cli.installation import at_the_keyboard, read_settings, ready_database
from undercroft.cli.output import Output
from undercroft.cli.parser import add_config, add_json
from undercroft.clock import SystemClock
from undercroft.errors import InvalidRequest, NotFound
from undercroft.events import repository as event_repository
from undercroft.events.outbox import Outbox
from undercroft.events.webhooks import ADDRESS
from undercroft.jobs import repository
from undercroft.jobs.statements import moment_of
from undercroft.jobs.types import ENDED, Attempt, Job, Status
from undercroft.settings.model import Settings
from undercroft.storage.engine import FILE_NAME, Database
from undercroft.wire.jobs import JobDelivery

HELP = "Lists, shows, cancels and retries jobs, and waits for them.  Example: undercroft jobs list --status dead"
ORGANISATION: Final = "default"
POLL_S: Final = 0.25
STATUSES: Final = get_args(Status)


def arguments(parser: ArgumentParser) -> None:
    parser.add_argument(
        "action",
        choices=["list", "show", "retry", "cancel", "dead", "wait"],
        help="dead: those that were given up; retry and cancel take ids; wait: until these, or all, have ended",
    )
    parser.add_argument("ids", nargs="*", metavar="ID", help="jobs, for show, retry, cancel and wait")
    parser.add_argument("--status", choices=STATUSES, help="list only these")
    parser.add_argument("--kind", help="list only jobs of this kind")
    parser.add_argument("--queue", help="list only jobs of this queue")
    parser.add_argument("--limit", type=_count, default=20, help="how many to list; default: 20")
    parser.add_argument("--all-dead", action="store_true", help="retry: every dead job")
    parser.add_argument("--timeout", type=float, metavar="SECONDS", help="wait: how long at most")
    add_config(parser)
    add_json(parser)


def run(options: Namespace, out: Output) -> int:
    if options.action in ("show", "cancel") and not options.ids:
        raise InvalidRequest(f"undercroft jobs {options.action} needs the id of a job.")
    if options.action == "retry" and bool(options.ids) == options.all_dead:
        raise InvalidRequest("undercroft jobs retry needs ids of jobs, or --all-dead.")
    settings = read_settings(options, out)
    with _opened(settings) as database:
        return _ACTIONS[options.action](options, out, database)


def _list(options: Namespace, out: Output, database: Database) -> int:
    page = partial(repository.page, organisation=ORGANISATION, kind=options.kind, queue=options.queue)
    status = cast("Status | None", options.status)
    jobs = database.read_sync(partial(page, status=status, limit=options.limit))
    _table(jobs, options, out, empty="There are no such jobs.")
    return 0


def _dead(options: Namespace, out: Output, database: Database) -> int:
    page = partial(repository.page, organisation=ORGANISATION, kind=options.kind, queue=options.queue)
    jobs = database.read_sync(partial(page, status="dead", limit=options.limit))
    _table(jobs, options, out, empty="No job is dead.")
    return 0


def _show(options: Namespace, out: Output, database: Database) -> int:
    shown = []
    for name in options.ids:
        job = _find(database, name)
        attempts = database.read_sync(partial(repository.attempts, organisation=ORGANISATION, id=name))
        deliveries = _deliveries(database, name)
        shown.append({**_fields(job), "failed_runs": attempts, "deliveries": deliveries})
        if not options.json:
            out.line("\n".join([*_lines(job, attempts), *_told(deliveries)]))
    if options.json:
        out.show(shown if len(shown) > 1 else shown[0])
    return 0


def _deliveries(database: Database, id: str) -> list[JobDelivery]:
    """What is posted to its webhook."""
    find = partial(event_repository.addressed, organisation=ORGANISATION, subject=id, prefix=ADDRESS)
    return [delivery_of(each) for each in database.read_sync(find)]


def _told(deliveries: list[JobDelivery]) -> Iterator[str]:
    for each in deliveries:
        why = each.error or (f"answered {each.status}" if each.status else "")
        yield f"  {each.type} to its webhook: {each.state} after {each.attempts} attempts {why}".rstrip()


def _cancel(options: Namespace, out: Output, database: Database) -> int:
    clock = SystemClock()
    effects = ToldEffects(Outbox(clock))

    def cancel(connection: Connection, id: str) -> Job | None:
        moment = moment_of(clock)
        return repository.ask_cancel(connection, organisation=ORGANISATION, id=id, moment=moment, effects=effects)

    return _each(options.ids, options, out, partial(_changed, database, cancel, "job.cancel"))


def _retry(options: Namespace, out: Output, database: Database) -> int:
    clock = SystemClock()
    effects = ToldEffects(Outbox(clock))

    def retry(connection: Connection, id: str) -> Job | None:
        moment = moment_of(clock)
        return repository.retry(connection, organisation=ORGANISATION, id=id, moment=moment, effects=effects)

    ids = _all_dead(database) if options.all_dead else options.ids
    return _each(ids, options, out, partial(_changed, database, retry, "job.retry"))


def _changed(database: Database, change: Callable[[Connection, str], Job | None], action: Action, id: str) -> Job:
    """The job after its change, which is written down in the same transaction. Raises NotFound."""

    def work(connection: Connection) -> Job:
        return _there(change(connection, id), id)

    act = Act(action=action, subject=id)
    return database.write_sync(audited(work, lambda _: act, origin=at_the_keyboard(), now_us=SystemClock().now_us()))


def _all_dead(database: Database) -> list[str]:
    found: list[str] = []
    page = partial(repository.page, organisation=ORGANISATION, status="dead", limit=500)
    while jobs := database.read_sync(partial(page, before=found[-1] if found else "")):
        found += [job.id for job in jobs]
    return found


def _wait(options: Namespace, out: Output, database: Database) -> int:
    """0 when all have succeeded, 1 when one has not or the time is up."""
    ids = options.ids or _pending(database)
    deadline = None if options.timeout is None else time.monotonic() + options.timeout
    waiting, ended = list(ids), list[Job]()
    with out.progress("jobs", total=len(ids)) as advance:
        while True:
            jobs = [_find(database, each) for each in waiting]
            fresh = [job for job in jobs if job.state in ENDED]
            ended += fresh
            advance(len(fresh))
            waiting = [job.id for job in jobs if job.state not in ENDED]
            if not waiting or (deadline is not None and time.monotonic() >= deadline):
                break
            time.sleep(POLL_S)
    _table(ended, options, out, empty="There was nothing to wait for.")
    if waiting:
        out.note(f"{len(waiting)} jobs have not ended.")
    return 1 if waiting or any(job.state != "succeeded" for job in ended) else 0


def _pending(database: Database) -> list[str]:
    found: list[str] = []
    pending: tuple[Status, ...] = ("queued", "waiting", "running")
    for status in pending:
        page = partial(repository.page, organisation=ORGANISATION, status=status, limit=500)
        last = ""
        while jobs := database.read_sync(partial(page, before=last)):
            found += [job.id for job in jobs]
            last = jobs[-1].id
    return found


_ACTIONS: Final[dict[str, Callable[[Namespace, Output, Database], int]]] = {
    "list": _list,
    "dead": _dead,
    "show": _show,
    "cancel": _cancel,
    "retry": _retry,
    "wait": _wait,
}


def _each(ids: list[str], options: Namespace, out: Output, change: Callable[[str], Job]) -> int:
    _table([change(name) for name in ids], options, out, empty="There are no such jobs.")
    return 0


def _find(database: Database, id: str) -> Job:
    return _there(database.read_sync(partial(repository.find, organisation=ORGANISATION, id=id)), id)


def _there(job: Job | None, id: str) -> Job:
    if job is None:
        raise NotFound(f"There is no job '{id}'.", hint="undercroft jobs list shows those there are.")
    return job


def _fields(job: Job) -> dict[str, object]:
    import msgspec

    fields: dict[str, object] = msgspec.json.decode(msgspec.json.encode(view_of(job)))
    return fields


def _table(jobs: list[Job], options: Namespace, out: Output, *, empty: str) -> None:
    if options.json:
        out.show([_fields(job) for job in jobs])
        return
    rows = [
        {
            "id": job.id,
            "kind": job.kind,
            "status": job.status,
            "queue": job.queue,
            "attempts": job.attempts,
            "created": view_of(job).created_at,
            "error": job.failure.message[:100] if job.failure is not None else "",
        }
        for job in jobs
    ]
    out.table(rows, empty=empty)


def _lines(job: Job, attempts: list[Attempt]) -> Iterator[str]:
    for name, value in _fields(job).items():
        if value not in (None, ""):
            yield f"{name + ':':<18}{value}"
    for attempt in attempts:
        yield f"  run {attempt.run} on {attempt.worker}: {attempt.outcome} {attempt.error or ''}"


def _count(text: str) -> int:
    count = int(text)
    if not 1 <= count <= 1000:
        raise ValueError(text)
    return count


@contextmanager
def _opened(settings: Settings) -> Iterator[Database]:
    """Raises Unavailable when the database is away or has no tables, NotFound where none was ever made."""
    url = settings.database.url
    if url is None and not (settings.data_dir / FILE_NAME).exists():
        raise NotFound(
            f"There are no jobs in {settings.data_dir.absolute()}: no server ever ran there.",
            hint="Run this in the server's folder, or name its database in DATABASE_URL.",
        )
    with ready_database(settings, otherwise="Jobs cannot be read") as database:
        yield database
