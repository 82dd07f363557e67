"""`undercroft vectors copy`."""

import asyncio
from argparse import ArgumentParser, Namespace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from undercroft.assembly.stored_settings import encrypted_store
from undercroft.assembly.vectors import STORES, open_store
from undercroft.cli.installation import read_settings
from undercroft.cli.output import Output
from undercroft.clock import SystemClock
from undercroft.errors import InvalidRequest
from undercroft.vectors.copy import Checkpoint, CheckpointFile, Verification, prepare, verify
from undercroft.vectors.copy import copy as copied
from undercroft.vectors.store import VectorStore

if TYPE_CHECKING:
    from argparse import _SubParsersAction

_COPY = """Copies a collection to another store, and verifies the copy by counts, checksums and a sample of queries.

It goes on where it broke off: type the same again. Exit code 1 when the copy is not as the original.

Example: undercroft vectors copy notes --from embedded --to pgvector"""


def add(actions: "_SubParsersAction[Any]") -> list[ArgumentParser]:
    parser = actions.add_parser("copy", help="copies a collection to another store", description=_COPY)
    parser.add_argument("collection", help="its name")
    parser.add_argument("--from", dest="source", required=True, metavar="STORE", help=f"{', '.join(STORES)}")
    parser.add_argument("--to", dest="target", required=True, metavar="STORE", help="one of them, too")
    parser.add_argument("--as", dest="into", metavar="NAME", help="the copy's name (default: the same)")
    parser.add_argument("--checkpoint", type=Path, metavar="FILE", help="where its progress is kept")
    return [parser]


def copy(options: Namespace, out: Output) -> int:
    into = options.into or options.collection
    if (options.source, options.collection) == (options.target, into):
        raise InvalidRequest("The copy would be the original: give it another store, or another name with --as.")
    settings = read_settings(options, out, stored=encrypted_store)
    default = settings.data_dir / "copies" / f"{options.source}-{options.target}-{options.collection}-{into}.json"
    file = CheckpointFile(options.checkpoint or default)
    beginning = Checkpoint(source=options.source, target=options.target, collection=options.collection, into=into)

    async def run() -> Verification:
        source = open_store(settings, clock=SystemClock(), name=options.source)
        try:
            is_same = options.source == options.target
            target = source if is_same else open_store(settings, clock=SystemClock(), name=options.target)
            try:
                return await _run(source, target, beginning, file, out)
            finally:
                if not is_same:
                    await target.close()
        finally:
            await source.close()

    found = asyncio.run(run())
    if found.is_good:
        file.remove()
    out.show(found, text=_told(found))
    return 0 if found.is_good else 1


async def _run(
    source: VectorStore, target: VectorStore, beginning: Checkpoint, file: CheckpointFile, out: Output
) -> Verification:
    reached = file.read(beginning)
    if reached.copied:
        out.note(f"Going on after {reached.copied} points.")
    await prepare(source, target, beginning.collection, beginning.into)
    number = (await source.stats(beginning.collection)).points
    with out.progress("copying", number) as advance:
        advance(reached.copied)
        await copied(source, target, reached, keep=file.write, advance=advance)
    with out.progress("verifying", number) as advance:
        return await verify(source, target, beginning.collection, beginning.into, advance=advance)


def _told(found: Verification) -> str:
    lines = [
        f"source: {found.source.points} points, checksum {found.source.checksum}",
        f"copy:   {found.target.points} points, checksum {found.target.checksum}",
        f"vectors differ by {found.worst_difference:.1e} at most",
        f"{found.queries} queries share {found.agreement:.1%} of their hits",
        *(f"MISSING: {one}" for one in found.missing),
        *(f"DIFFERENT: {one}" for one in found.different),
        "The copy is as the original." if found.is_good else "The copy is not as the original.",
    ]
    return "\n".join(lines)
