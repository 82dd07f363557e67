"""`undercroft vectors ingest`: files into a collection, cut and embedded here; `vectors forget` takes them out."""

import asyncio
from argparse import ArgumentParser, Namespace
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import msgspec

from undercroft.assembly.embedding import bundled_model
from undercroft.assembly.stored_settings import encrypted_store
from undercroft.assembly.vectors import open_store
from undercroft.cli.installation import read_settings, ready_database
from undercroft.cli.output import Output
from undercroft.clock import SystemClock
from undercroft.errors import InvalidRequest
from undercroft.ids import Ids
from undercroft.vectors.errors import CollectionNotFound
from undercroft.vectors.ingestion.embedding import Model
from undercroft.vectors.ingestion.ingest import Ingestor
from undercroft.vectors.ingestion.reader import ENDINGS, MOST_BYTES
from undercroft.vectors.ingestion.remove import Remover
from undercroft.vectors.ingestion.types import Ingested, Place, Plan, Source, Unreadable
from undercroft.vectors.store import VectorStore
from undercroft.vectors.types import CollectionSpec

if TYPE_CHECKING:
    from argparse import _SubParsersAction

ORGANISATION: Final = "default"

_INGEST = """Takes files in: read, cut into chunks, embedded by the bundled model, searched with `vectors search`.

Folders are walked; hidden files and files of unknown kinds in them are passed over. A file that is there already is
brought up to date: chunks that have not changed are not embedded again. A file that cannot be read fails alone, and the
exit code is 1.

Example: undercroft vectors ingest docs/ --collection notes
         undercroft vectors ingest report.pdf --collection notes --by sentences --size 200 --overlap 40"""
_FORGET = """Takes files out of a collection, by the paths they were taken in with.

Example: undercroft vectors forget docs/old.md --collection notes"""


def add(actions: "_SubParsersAction[Any]") -> list[ArgumentParser]:
    ingest = actions.add_parser("ingest", help="takes files in", description=_INGEST)
    ingest.add_argument("paths", nargs="+", type=Path, metavar="PATH", help="files and folders")
    ingest.add_argument("--by", choices=["structure", "sentences", "tokens"], default="structure", help=_BY)
    ingest.add_argument("--size", type=int, default=256, metavar="N", help="most tokens of a chunk (default: 256)")
    ingest.add_argument("--overlap", type=int, default=32, metavar="N", help="tokens it repeats (default: 32)")
    forget = actions.add_parser("forget", help="takes files out again", description=_FORGET)
    forget.add_argument("paths", nargs="+", type=Path, metavar="PATH", help="as they were taken in")
    for action in (ingest, forget):
        action.add_argument("--collection", required=True, metavar="NAME", help="made where it is not there")
        action.add_argument("--namespace", default="", help="default: the collection's default one")
        action.add_argument("--store", metavar="NAME", help="default: as the settings say")
    return [ingest, forget]


_BY: Final = "where chunks end (default: structure, such as headings)"


class _Outcome(msgspec.Struct, frozen=True):
    path: str
    ingested: Ingested | None
    reason: str = ""


def ingest(options: Namespace, out: Output) -> int:
    """The exit code: 1 when a file could not be read."""
    plan = Plan(strategy=options.by, size=options.size, overlap=options.overlap)
    files = list(dict.fromkeys(_files(options.paths)))
    if not files:
        known = ", ".join(sorted(ENDINGS))
        raise InvalidRequest("There are no files that can be read in there.", hint=f"Known are: {known}.")
    outcomes = asyncio.run(_ingest_all(options, out, files, plan))
    rows = [_row(outcome) for outcome in outcomes]
    if options.json:
        out.table(rows)
    else:
        done = [outcome.ingested for outcome in outcomes if outcome.ingested is not None]
        for outcome in outcomes:
            if outcome.ingested is None:
                out.note(f"{outcome.path}: {outcome.reason}")
        chunks, fresh = sum(each.chunks for each in done), sum(each.embedded for each in done)
        out.line(f"{len(done)} files, {chunks} chunks ({fresh} embedded) in {options.collection}")
    return int(any(outcome.ingested is None for outcome in outcomes))


async def _ingest_all(options: Namespace, out: Output, files: list[Path], plan: Plan) -> list[_Outcome]:
    settings, clock = read_settings(options, out, stored=encrypted_store), SystemClock()
    place = Place(organisation=ORGANISATION, collection=options.collection, namespace=options.namespace)
    outcomes: list[_Outcome] = []
    with ready_database(settings, otherwise="Files cannot be taken in") as database:
        store = open_store(settings, clock=clock, name=options.store, keeps_up=False)
        try:
            async with bundled_model(settings) as model:
                await _make_collection(store, options.collection, model)
                ingestor = Ingestor(database, store, model, ids=Ids(clock), clock=clock)
                await Remover(database, store).tidy(place)
                with out.progress("taking in", len(files)) as advance:
                    for path in files:
                        outcomes.append(await _ingest_one(ingestor, place, path, plan))
                        advance(1)
        finally:
            await store.close()
    return outcomes


async def _ingest_one(ingestor: Ingestor, place: Place, path: Path, plan: Plan) -> _Outcome:
    try:
        content = await asyncio.to_thread(_content, path)
        ingested = await ingestor.ingest(place, Source(id=_id(path), name=path.name, content=content), plan)
    except Unreadable as error:
        return _Outcome(str(path), None, str(error))
    except OSError as error:
        return _Outcome(str(path), None, f"It cannot be opened: {error.strerror}.")
    return _Outcome(str(path), ingested)


def _content(path: Path) -> bytes:
    if path.stat().st_size > MOST_BYTES:
        raise Unreadable(f"The file has more than {MOST_BYTES} bytes.", hint="Split it.")
    return path.read_bytes()


async def _make_collection(store: VectorStore, name: str, model: Model) -> None:
    try:
        await store.describe(name)
    except CollectionNotFound:
        (probe,) = await model.embed(["How long is a vector?"])
        await store.create(CollectionSpec(name=name, dimension=len(probe)))


def forget(options: Namespace, out: Output) -> int:
    """The exit code: 1 when a path was not there."""
    missing = asyncio.run(_forget_all(options, out))
    for path in missing:
        out.note(f"{path}: not in {options.collection}")
    number = len(options.paths) - len(missing)
    out.show({"forgotten": number, "missing": missing}, text=f"{number} files taken out of {options.collection}")
    return int(bool(missing))


async def _forget_all(options: Namespace, out: Output) -> list[str]:
    settings, clock = read_settings(options, out, stored=encrypted_store), SystemClock()
    place = Place(organisation=ORGANISATION, collection=options.collection, namespace=options.namespace)
    with ready_database(settings, otherwise="Files cannot be taken out") as database:
        store = open_store(settings, clock=clock, name=options.store, keeps_up=False)
        try:
            remover = Remover(database, store)
            return [str(path) for path in options.paths if not await remover.remove(place, _id(path))]
        finally:
            await store.close()


def _files(paths: list[Path]) -> Iterator[Path]:
    """What is named, whatever it is, and below folders what there is a reader for. Raises InvalidRequest."""
    for path in paths:
        if path.is_dir():
            for found in sorted(path.rglob("*")):
                inner = found.relative_to(path).parts
                is_hidden = any(part.startswith(".") for part in inner)
                if found.is_file() and not is_hidden and found.suffix.lower().removeprefix(".") in ENDINGS:
                    yield found
        elif path.is_file():
            yield path
        else:
            raise InvalidRequest(f"There is no {path}.")


def _id(path: Path) -> str:
    """The same however the path is written."""
    return str(path.resolve())


def _row(outcome: _Outcome) -> dict[str, Any]:
    if outcome.ingested is None:
        return {"path": outcome.path, "status": "failed", "reason": outcome.reason}
    told = msgspec.structs.asdict(outcome.ingested)
    status = "unchanged" if outcome.ingested.is_unchanged else "completed"
    return {"path": outcome.path, "status": status, **{name: told[name] for name in ("chunks", "tokens", "embedded")}}
