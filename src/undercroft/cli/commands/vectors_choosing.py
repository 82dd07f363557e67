"""`undercroft vectors compare`."""

import re
from argparse import ArgumentParser, ArgumentTypeError, Namespace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from undercroft.assembly.vector_tools import machines
from undercroft.cli.output import Output
from undercroft.vectors.compare import Candidate
from undercroft.vectors.compare import compare as compared
from undercroft.vectors.prices import SHIPPED, read_prices
from undercroft.vectors.sizing import Load

if TYPE_CHECKING:
    from argparse import _SubParsersAction

_COMPARE = """Which vector database suits a load: memory, disk, machines, monthly cost, fit and risks, the best first.

Sizes are estimates, each with what it rests on (--json); prices have a source and a date. `vectors bench` measures.

Example: undercroft vectors compare --vectors 5M --dim 1536 --qps 50 --filters"""
UNITS: Final = {"": 1, "k": 10**3, "m": 10**6, "b": 10**9}
GIB: Final = 2**30


def add(actions: "_SubParsersAction[Any]") -> list[ArgumentParser]:
    parser = actions.add_parser("compare", help="which vector database suits a load", description=_COMPARE)
    parser.add_argument("--vectors", type=amount, required=True, metavar="N", help="how many: 200k, 5M")
    parser.add_argument("--dim", type=int, required=True, metavar="N", help="numbers of a vector")
    parser.add_argument("--qps", type=float, required=True, metavar="N", help="searches a second")
    parser.add_argument("--filters", action="store_true", help="searches are filtered by metadata")
    parser.add_argument("--text", action="store_true", help="searches are by words too")
    parser.add_argument("--update-rate", type=float, default=0.0, metavar="N", help="points written a second")
    parser.add_argument("--metadata-bytes", type=int, default=500, metavar="N", help="of one point; default: 500")
    parser.add_argument("--copies", type=int, default=2, metavar="N", help="machines that hold everything; default: 2")
    parser.add_argument("--provider", default="aws", help="whose machines: aws, azure, gcp; default: aws")
    parser.add_argument("--region", help="default: the provider's usual one")
    parser.add_argument("--prices", type=Path, default=SHIPPED, metavar="FILE", help="your own prices.toml")
    return [parser]


def amount(text: str) -> int:
    """`5M` is 5,000,000."""
    if found := re.fullmatch(r"(\d+(?:\.\d+)?)([kKmMbB]?)", text):
        return int(float(found[1]) * UNITS[found[2].lower()])
    raise ArgumentTypeError(f"{text!r} is no number; write 200000, 200k or 5M")


def compare(options: Namespace, out: Output) -> int:
    load = Load(
        vectors=options.vectors,
        dimension=options.dim,
        queries_per_s=options.qps,
        has_filters=options.filters,
        has_text=options.text,
        updates_per_s=options.update_rate,
        metadata_bytes=options.metadata_bytes,
        copies=options.copies,
    )
    candidates = compared(load, read_prices(options.prices), machines(options.provider, options.region))
    if options.json:
        out.table([_whole(one) for one in candidates])
        return 0
    out.table([_row(place, one) for place, one in enumerate(candidates, 1)])
    for one in candidates:
        out.line("")
        out.line(f"{one.name}")
        for cost in one.costs:
            shown = "unknown, left out" if cost.usd is None else f"{cost.usd:,.2f} USD"
            out.line(f"  cost  {cost.what}: {shown} ({cost.source})")
        for reason in one.reasons:
            out.line(f"  +     {reason}")
        for risk in one.risks:
            out.line(f"  -     {risk}")
    return 0


def _row(place: int, one: Candidate) -> dict[str, object]:
    return {
        "rank": place,
        "store": one.name,
        "fit": one.fit,
        "memory GiB": "" if one.memory_bytes is None else round(one.memory_bytes / GIB, 1),
        "disk GiB": "" if one.disk_bytes is None else round(one.disk_bytes / GIB, 1),
        "machines": f"{one.machines} of {one.machine}" if one.machine else str(one.machines or "managed"),
        "USD a month": _bill(one),
    }


def _bill(one: Candidate) -> str:
    if one.usd_month is None:
        return "unknown"
    return f"{one.usd_month:,.0f}" if one.is_complete else f"{one.usd_month:,.0f} and what is unknown"


def _whole(one: Candidate) -> dict[str, object]:
    return {
        "store": one.name,
        "fit": one.fit,
        "machines": one.machines,
        "machine": one.machine,
        "memory_bytes": one.memory_bytes,
        "disk_bytes": one.disk_bytes,
        "usd_month": None if one.usd_month is None else f"{one.usd_month:.2f}",
        "is_complete": one.is_complete,
        "costs": [
            {"what": cost.what, "usd": None if cost.usd is None else f"{cost.usd:.2f}", "source": cost.source}
            for cost in one.costs
        ],
        "reasons": one.reasons,
        "risks": one.risks,
        "basis": one.basis,
    }
