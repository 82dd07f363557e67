"""`undercroft batches list|show|create|cancel|wait`."""

import asyncio
import time
from argparse import ArgumentParser, Namespace
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final, get_args

import msgspec

from undercroft.access.audit import Act
from undercroft.assembly.batch_views import told
from undercroft.assembly.files import cabinet_of
from undercroft.batches.desk import BatchDesk
from undercroft.batches.types import OVER, Batch, Order
from undercroft.cli.installation import note, read_settings, ready_database
from undercroft.cli.output import Output
from undercroft.cli.parser import add_config, add_json
from undercroft.clock import SystemClock, rfc3339
from undercroft.errors import InvalidRequest, NotFound
from undercroft.files.cabinet import Cabinet
from undercroft.files.types import BATCH_KEPT_S, Label
from undercroft.ids import Ids
from undercroft.record import Who
from undercroft.settings.model import Settings
from undercroft.storage.engine import FILE_NAME
from undercroft.wire.openai.batches import Endpoint
from undercroft.wire.openai.files import filename_of

HELP = """Many calls as one order: makes, shows and awaits batches.

Example: undercroft batches create questions.jsonl --endpoint /v1/chat/completions
         undercroft batches wait batch_0123456789 --output answers.jsonl"""
ORGANISATION: Final = "default"
POLL_S: Final = 0.5
PIECE_BYTES: Final = 256 * 1024


def arguments(parser: ArgumentParser) -> None:
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    listing = actions.add_parser("list", help="the latest batches", description=_LIST)
    listing.add_argument("--limit", type=_count, default=20, help="how many to list; default: 20")
    show = actions.add_parser("show", help="how far one has come", description=_SHOW)
    create = actions.add_parser("create", help="make one of a file of lines", description=_CREATE)
    create.add_argument("file", type=Path, help="JSONL: custom_id, method, url and body of a request on each line")
    create.add_argument("--endpoint", choices=get_args(Endpoint), required=True, help="what all lines ask")
    create.add_argument(
        "--metadata", action="append", default=[], metavar="NAME=VALUE", help="a label of your own; may be repeated"
    )
    cancel = actions.add_parser("cancel", help="begin nothing more of one", description=_CANCEL)
    wait = actions.add_parser("wait", help="until one has ended", description=_WAIT)
    wait.add_argument("--timeout", type=float, metavar="SECONDS", help="how long at most")
    wait.add_argument("--output", type=Path, metavar="FILE", help="where its answers are written")
    wait.add_argument("--errors", type=Path, metavar="FILE", help="where what got none is written")
    for one in (show, cancel, wait):
        one.add_argument("id", help="the batch's id, as `create` and `list` show it")
    for action in (listing, show, create, cancel, wait):
        add_config(action)
        add_json(action)


_LIST = "The latest batches.  Example: undercroft batches list --limit 5"
_SHOW = "How far a batch has come, and what is wrong with its input.  Example: undercroft batches show batch_0123456789"
_CREATE = """Makes a batch, which a server or worker answers.

Example: undercroft batches create questions.jsonl --endpoint /v1/chat/completions --metadata team=support"""
_CANCEL = "Begins nothing more of a batch, and keeps what it has.  Example: undercroft batches cancel batch_0123456789"
_WAIT = """Waits until a batch has ended; exit code 1 unless every line was answered.

Example: undercroft batches wait batch_0123456789 --output answers.jsonl --errors refused.jsonl"""


@dataclass(frozen=True, slots=True)
class _Opened:
    batches: BatchDesk
    files: Cabinet
    note: Callable[[Act], None]
    """Writes down what was changed."""


def run(options: Namespace, out: Output) -> int:
    if options.action == "create" and not options.file.is_file():
        raise InvalidRequest(f"There is no file {options.file}.")
    settings = read_settings(options, out)
    return asyncio.run(_run(options, settings, out))


async def _run(options: Namespace, settings: Settings, out: Output) -> int:
    async with _opening(settings) as opened:
        match options.action:
            case "list":
                rows = await opened.batches.page(ORGANISATION, after=None, limit=options.limit)
                out.table([_cells(batch) for batch in rows], empty="There are no batches.")
            case "show":
                _show(await opened.batches.find(ORGANISATION, options.id), out)
            case "create":
                batch = await _create(options, opened, out)
                opened.note(Act(action="batch.create", subject=batch.id, after={"endpoint": batch.endpoint}))
                _show(batch, out)
            case "cancel":
                batch = await opened.batches.cancel(ORGANISATION, options.id)
                opened.note(Act(action="batch.cancel", subject=batch.id))
                _show(batch, out)
            case _:
                return await _wait(options, opened, out)
    return 0


async def _create(options: Namespace, opened: _Opened, out: Output) -> Batch:
    metadata = dict(_pair(text) for text in options.metadata)
    path: Path = options.file
    size = (await asyncio.to_thread(path.stat)).st_size
    label = Label(filename=filename_of(path.name), purpose="batch", expires_after_s=BATCH_KEPT_S)
    with out.progress("bytes", total=size) as advance:
        file = await opened.files.create(Who(organisation=ORGANISATION), label, _pieces(path, advance))
    order = Order(endpoint=options.endpoint, input_file=file.id, metadata=metadata)
    return await opened.batches.create(Who(organisation=ORGANISATION), order)


async def _wait(options: Namespace, opened: _Opened, out: Output) -> int:
    """0 when every line was answered, 1 when one was not or the time is up."""
    deadline = None if options.timeout is None else time.monotonic() + options.timeout
    batch = await opened.batches.find(ORGANISATION, options.id)
    while batch.status == "validating" and _is_time(deadline):
        await asyncio.sleep(POLL_S)
        batch = await opened.batches.find(ORGANISATION, options.id)
    done = 0
    with out.progress("lines", total=batch.total or None) as advance:
        while True:
            advance(batch.completed + batch.failed - done)
            done = batch.completed + batch.failed
            if batch.status in OVER or not _is_time(deadline):
                break
            await asyncio.sleep(POLL_S)
            batch = await opened.batches.find(ORGANISATION, options.id)
    for path, named in ((options.output, batch.output_file), (options.errors, batch.error_file)):
        if path is not None and named:
            await _write(path, opened.files, named)
    _show(batch, out)
    if batch.status not in OVER:
        out.note(f"{batch.id} has not ended.")
    return 0 if batch.status == "completed" and batch.completed == batch.total else 1


async def _write(path: Path, files: Cabinet, named: str) -> None:
    file = await files.find(ORGANISATION, named)
    with path.open("wb") as written:
        async for piece in files.content(file):
            await asyncio.to_thread(written.write, piece)


def _is_time(deadline: float | None) -> bool:
    return deadline is None or time.monotonic() < deadline


async def _pieces(path: Path, advance: Callable[[int], None]) -> AsyncGenerator[bytes, None]:
    with path.open("rb") as file:
        while piece := await asyncio.to_thread(file.read, PIECE_BYTES):
            advance(len(piece))
            yield piece


def _show(batch: Batch, out: Output) -> None:
    fields = msgspec.to_builtins(told(batch))
    out.show(fields, text="\n".join(_lines(batch, fields)))


def _lines(batch: Batch, fields: dict[str, object]) -> Iterator[str]:
    for name, value in fields.items():
        if name in ("object", "errors") or value in (None, {}, ""):
            continue
        shown = rfc3339(value * 1_000_000) if name.endswith("_at") and isinstance(value, int) else value
        yield f"{name + ':':<18}{shown}"
    for error in batch.errors:
        where = f"line {error.line}: " if error.line is not None else ""
        yield f"  {where}{error.message} ({error.code})"


def _cells(batch: Batch) -> dict[str, object]:
    return {
        "id": batch.id,
        "status": batch.status,
        "endpoint": batch.endpoint,
        "completed": batch.completed,
        "failed": batch.failed,
        "total": batch.total,
        "created": rfc3339(batch.created_us),
    }


def _pair(text: str) -> tuple[str, str]:
    name, separator, value = text.partition("=")
    if not (separator and name):
        raise InvalidRequest(f"--metadata takes NAME=VALUE, got {text!r}.")
    return name, value


def _count(text: str) -> int:
    count = int(text)
    if not 1 <= count <= 1000:
        raise ValueError(text)
    return count


@asynccontextmanager
async def _opening(settings: Settings) -> AsyncIterator[_Opened]:
    """Raises Unavailable when the database is away or has no tables, NotFound where none was ever made."""
    if settings.database.url is None and not (settings.data_dir / FILE_NAME).exists():
        raise NotFound(
            f"There are no batches in {settings.data_dir.absolute()}: no server ever ran there.",
            hint="Run this in the server's folder, or name its database in DATABASE_URL.",
        )
    clock = SystemClock()
    ids = Ids(clock)
    with ready_database(settings, otherwise="Batches cannot be reached") as database:
        files = cabinet_of(settings, database=database, ids=ids, clock=clock)
        # The server looks once a second, and needs no word.
        desk = BatchDesk(database, files, wake=lambda: None, ids=ids, clock=clock)
        yield _Opened(desk, files, partial(note, database))
