"""`undercroft vectors bench` and `undercroft vectors tune`."""

import asyncio
import re
import time
from argparse import ArgumentParser, ArgumentTypeError, Namespace
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from undercroft.assembly.stored_settings import encrypted_store
from undercroft.assembly.vector_tools import Embedder
from undercroft.assembly.vectors import STORES, open_store
from undercroft.cli.installation import read_settings
from undercroft.cli.output import Output
from undercroft.clock import SystemClock
from undercroft.errors import InvalidRequest, MissingExtra
from undercroft.settings.model import Settings

if TYPE_CHECKING:
    from argparse import _SubParsersAction

    from undercroft.vectors.bench import Report
    from undercroft.vectors.data_sets import DataSet

_BENCH = """Measures stores on the same data: recall against exact search, searches a second, latencies, build, size.

Data are made (10000x128: points and dimensions, in clusters, always the same) or your own: a JSONL file with
{"id", "vector"?, "text"?, "metadata"?} a line, of which some are held out as queries. A line without a vector gets one
of its text, by the bundled model. With questions of your own, {"text", "relevant": ["id", ...]} a line, these are asked
instead, and recall, nDCG and MRR of every kind of search are told; {"id": gain} says how good each answer is.

Example: undercroft vectors bench --stores embedded,pgvector --data notes.jsonl --svg recall.svg
         undercroft vectors bench --data notes.jsonl --questions questions.jsonl
         undercroft vectors bench --data 20000x384 --clients 1,4,16"""
_TUNE = """Finds the index that is fastest at a recall, and shows it on held-out queries.

Exit code 1 when no index reaches it. `vectors create --tuned FILE` makes a collection with what was found.

Example: undercroft vectors tune --recall 0.98 --data notes.jsonl --out tuned.toml"""


def add(actions: "_SubParsersAction[Any]") -> list[ArgumentParser]:
    bench = actions.add_parser("bench", help="measures stores on the same data", description=_BENCH)
    bench.add_argument("--stores", default="embedded", metavar="NAMES", help=f"of {', '.join(STORES)}; by commas")
    bench.add_argument("--clients", type=counts, default=(1, 4), metavar="N,…", help="searches at once; default: 1,4")
    bench.add_argument(
        "--questions", type=Path, metavar="FILE", help="questions with the ids that answer them, as JSONL"
    )
    bench.add_argument("--svg", type=Path, metavar="FILE", help="draws recall against searches a second")
    tune = actions.add_parser("tune", help="finds the fastest index of a recall", description=_TUNE)
    tune.add_argument("--store", default="embedded", metavar="NAME", help=f"{', '.join(STORES)}")
    tune.add_argument("--recall", type=float, required=True, metavar="R", help="of the nearest, 0 to 1: 0.98")
    tune.add_argument("--out", type=Path, metavar="FILE", help="writes the index that was found, as TOML")
    for parser in (bench, tune):
        parser.add_argument("--data", default="10000x128", metavar="DATA", help="FILE.jsonl or made ones: 10000x128")
        parser.add_argument("--limit", type=int, default=10, metavar="K", help="hits of a search; default: 10")
        parser.add_argument(
            "--metric", choices=["cosine", "dot", "euclidean"], default="cosine", help="default: cosine"
        )
        parser.add_argument("--seconds", type=float, default=2.0, metavar="S", help="of each load; default: 2")
    return [bench, tune]


def counts(text: str) -> tuple[int, ...]:
    if not re.fullmatch(r"[1-9]\d{0,3}(,[1-9]\d{0,3})*", text):
        raise ArgumentTypeError(f"{text!r} is no list of numbers; write 1,4,16")
    return tuple(map(int, text.split(",")))


def bench(options: Namespace, out: Output) -> int:
    settings = read_settings(options, out, stored=encrypted_store)
    data = _data(options, settings, questions=options.questions)
    names = list(dict.fromkeys(options.stores.split(",")))
    if unknown := [name for name in names if name not in STORES]:
        raise InvalidRequest(f"There is no vector store {unknown[0]!r}; there are {', '.join(STORES)}.")
    reports = asyncio.run(_bench(options, settings, data, names, out))
    if options.svg:
        from undercroft.vectors.plot import recall_plot

        options.svg.write_text(recall_plot(reports), "utf-8")
    if options.json:
        out.show(reports)
        return 0
    out.line(f"{data.name}: {len(data.points)} points of {data.dimension} dimensions, {len(data.queries)} queries")
    out.table([_built(report) for report in reports])
    out.line("")
    out.table([row for report in reports for row in _rows(report)])
    if data.questions:
        out.line("")
        out.table([row for report in reports for row in _judged(report)])
    return 0


async def _bench(
    options: Namespace, settings: Settings, data: "DataSet", names: list[str], out: Output
) -> "list[Report]":
    from undercroft.vectors.bench import Bench, Course

    _check(options)
    course = Course(limit=options.limit, metric=options.metric, clients=options.clients, seconds=options.seconds)
    reports = []
    for name in names:
        store = open_store(settings, clock=SystemClock(), name=name)
        try:
            steps = Bench(data, course, monotonic=time.perf_counter).steps()
            with out.progress(f"measuring {name}", steps) as advance:
                measuring = Bench(data, course, monotonic=time.perf_counter, advance=advance)
                reports.append(await measuring.run(store, f"bench-{time.monotonic_ns() % 10**9}"))
        finally:
            await store.close()
    return reports


def tune(options: Namespace, out: Output) -> int:
    from undercroft.vectors.bench import Bench, Course
    from undercroft.vectors.tune import tune as tuned
    from undercroft.vectors.tune import write_tuned, written

    if not 0 < options.recall <= 1:
        raise InvalidRequest(f"--recall is {options.recall:g}; it takes more than 0 and at most 1.")
    _check(options)
    settings = read_settings(options, out, stored=encrypted_store)
    data = _data(options, settings)
    course = Course(limit=options.limit, metric=options.metric, seconds=options.seconds)

    async def run(advance: Callable[[int], None]) -> Any:
        store = open_store(settings, clock=SystemClock(), name=options.store)
        try:
            return await tuned(
                store,
                f"tune-{time.monotonic_ns() % 10**9}",
                data,
                recall=options.recall,
                course=course,
                bench=lambda some, way: Bench(some, way, monotonic=time.perf_counter, advance=advance),
            )
        finally:
            await store.close()

    with out.progress(f"tuning {options.store}") as advance:
        outcome = asyncio.run(run(advance))
    if options.out and outcome.chosen is not None and outcome.is_reached:
        write_tuned(outcome.chosen, options.out)
    if options.json:
        out.show(outcome)
        return 0 if outcome.is_reached else 1
    out.table(
        [
            {
                "connectivity": one.index.connectivity,
                "build_effort": one.index.build_effort,
                "build s": round(one.build_s, 1),
                "effort": one.found.effort if one.found else "",
                "recall": round(one.found.recall or 0, 4) if one.found else "not reached",
                "searches/s": round(one.found.qps, 1) if one.found else "",
            }
            for one in outcome.tried
        ]
    )
    if outcome.chosen is None or outcome.held_out is None:
        out.line(f"No index reaches a recall of {options.recall:g}.")
        return 1
    out.line("")
    out.line(written(outcome.chosen).rstrip())
    out.line("")
    out.line(f"On held-out queries: recall {outcome.held_out.recall:.4f}, {outcome.held_out.qps:.1f} searches/s")
    return 0 if outcome.is_reached else 1


def _check(options: Namespace) -> None:
    if not 0.01 <= options.seconds <= 600:
        raise InvalidRequest(f"--seconds is {options.seconds:g}; it takes 0.01 to 600.")
    if not 1 <= options.limit <= 1000:
        raise InvalidRequest(f"--limit is {options.limit}; it takes 1 to 1000.")


def _data(options: Namespace, settings: Settings, *, questions: Path | None = None) -> "DataSet":
    try:
        from undercroft.vectors.data_sets import mixture
    except ImportError as error:
        raise MissingExtra("Measuring", extra="vectors") from error
    made = re.fullmatch(r"(\d{3,8})x(\d{1,5})", options.data)
    if made is None:
        return asyncio.run(_own(Path(options.data), questions, settings))
    if questions is not None:
        raise InvalidRequest("--questions is about points of your own; name their file with --data FILE.jsonl.")
    rows, dimension = int(made[1]), int(made[2])
    if not (100 <= rows <= 10_000_000 and 2 <= dimension <= 8192):
        raise InvalidRequest(f"--data is {options.data}; made data have 100 to 10000000 points of 2 to 8192 numbers.")
    return mixture(rows, dimension)


async def _own(path: Path, asked: Path | None, settings: Settings) -> "DataSet":
    """What the user has, with a vector for each text that has none."""
    from msgspec.structs import replace

    from undercroft.vectors.data_sets import judged, own, read_points
    from undercroft.vectors.judging import read_questions

    embedder = Embedder(settings)
    points, questions = read_points(path), [] if asked is None else read_questions(asked)
    points = await embedder.completed(points)
    if not questions:
        return own(path.name, points)
    vectors = iter(await embedder.embed([each.text for each in questions if not each.vector]))
    return judged(
        path.name, points, [each if each.vector else replace(each, vector=next(vectors)) for each in questions]
    )


def _built(report: "Report") -> dict[str, object]:
    build = report.build
    return {
        "store": report.store,
        "index": build.index,
        "points/s": round(build.points / build.upsert_s, 1),
        "build s": round(build.ready_s, 1),
        "memory MB": "unknown" if build.memory_bytes is None else round(build.memory_bytes / 10**6, 1),
        "disk MB": "unknown" if build.disk_bytes is None else round(build.disk_bytes / 10**6, 1),
    }


def _rows(report: "Report") -> list[dict[str, object]]:
    from undercroft.vectors.bench import rounded

    return [
        {
            "store": report.store,
            "mode": one.mode,
            "filter": "none" if one.share >= 1 else f"{one.share:.1%}",
            "effort": one.effort or "default",
            "clients": one.clients,
            "recall": "" if one.recall is None else one.recall,
            "short": one.short,
            "searches/s": one.qps,
            "p50 ms": one.p50_ms,
            "p95 ms": one.p95_ms,
            "p99 ms": one.p99_ms,
        }
        for one in map(rounded, report.measured)
    ]


def _judged(report: "Report") -> list[dict[str, object]]:
    return [
        {
            "store": report.store,
            "mode": one.mode,
            "questions": one.questions,
            f"recall@{one.limit}": round(one.recall, 4),
            f"nDCG@{one.limit}": round(one.ndcg, 4),
            "MRR": round(one.mrr, 4),
        }
        for one in report.quality
    ]
