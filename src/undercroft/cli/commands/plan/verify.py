"""`undercroft plan verify`."""

import asyncio
import os
import random
from argparse import Namespace
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from functools import partial
from urllib.parse import urlsplit

from undercroft.assembly.bundled import has_something_to_answer_with
from undercroft.cli.output import Output
from undercroft.clock import SystemClock
from undercroft.errors import InvalidRequest, NotFound
from undercroft.planning.bounds import bounded
from undercroft.planning.verification import machine
from undercroft.planning.verification.cases import Case, gateway_case, local_case, target_case
from undercroft.planning.verification.load import Address, Generator
from undercroft.planning.verification.report import Line, Report, report
from undercroft.planning.verification.server import gateway, local_model
from undercroft.planning.verification.verify import LOADS, Course, verification
from undercroft.settings.model import Settings


@dataclass(frozen=True, slots=True)
class Loaded:
    """A server to be loaded."""

    case: Case
    address: Address
    pid: int | None


def run(options: Namespace, out: Output) -> int:
    course = Course(
        duration_s=options.duration,
        runs=options.runs,
        loads=tuple(options.load) or LOADS,
        band=options.band,
        recorded_s=_recorded(options, out) if options.recorded else (),
    ).check()
    bounded("workers", options.workers, least=1, most=1024)
    cores = machine.divide_cores(options.workers)
    before = machine.busy_elsewhere()
    found: list[Line] = []
    calibrated: list[str] = []
    notes: list[str] = []
    for serving in _servers(options, cores):
        with serving() as loaded:
            rng = random.Random(options.seed)  # noqa: S311 - the arrivals are to repeat
            lines, told, noted = _verified(loaded, course, rng, out)
        found += lines
        calibrated += told
        notes += noted
    if options.target is None and 0 < len(cores.server) < options.workers:
        notes.append(f"{options.workers} workers share {len(cores.server)} of the cores: the load generator has one")
    if options.target is None and not cores.is_apart:
        notes.append("server and load generator share a core: this machine has too few, or cannot pin")
    if before is not None and before > 0.5:
        notes.append(f"others were at work on this machine before: load average {before:.2f}")
    result = report(found, band=course.band, calibrated=calibrated, notes=notes)
    _show(result, out)
    return 0 if result.is_within else 1


def _verified(
    loaded: Loaded, course: Course, rng: random.Random, out: Output
) -> tuple[list[Line], list[str], list[str]]:
    import uvloop

    async def verify() -> tuple[list[Line], list[str], list[str]]:
        generator = Generator(loaded.address, loaded.case.messages)
        work = verification(loaded.case, generator, course, pid=loaded.pid, clock=SystemClock(), rng=rng, told=out.note)
        try:
            return await work.run(), work.calibrated, work.notes
        finally:
            generator.close()

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(verify())


Serving = Callable[[], AbstractContextManager[Loaded]]


def _servers(options: Namespace, cores: machine.Cores) -> list[Serving]:
    if options.target is not None:
        return [partial(_target, options)]
    chosen = ("gateway", "local") if options.workload == "both" else (options.workload,)
    if "local" in chosen and not has_something_to_answer_with(Settings()):
        raise NotFound(
            "The bundled model is not installed, so there is no local model to verify.",
            hint="Type: undercroft models pull, or verify --workload gateway.",
        )
    known: Mapping[str, Serving] = {
        "gateway": partial(_gateway, cores, options.workers, options.seed),
        "local": partial(_local, cores),
    }
    return [known[name] for name in chosen]


@contextmanager
def _gateway(cores: machine.Cores, workers: int, seed: int) -> Iterator[Loaded]:
    with gateway(cores, workers=workers, seed=seed) as running:
        case = gateway_case(running.address, workers=workers, cores=len(cores.server) or workers)
        yield Loaded(case, running.address, running.pid)


@contextmanager
def _local(cores: machine.Cores) -> Iterator[Loaded]:
    with local_model(cores) as running:
        yield Loaded(local_case(running.address), running.address, running.pid)


@contextmanager
def _target(options: Namespace) -> Iterator[Loaded]:
    address = address_of(options.target)
    key = ""
    if options.key is not None:
        key = os.environ.get(options.key, "")
        if not key:
            raise InvalidRequest(f"--key names the variable {options.key}, which is not set.", param="key")
    yield Loaded(target_case(address, model=options.model, key=key), address, None)


def address_of(url: str) -> Address:
    """Host and port of `http://host:port`. Raises InvalidRequest."""
    try:
        parts = urlsplit(url)
        port = parts.port or 80
    except ValueError:
        parts, port = urlsplit(""), 0
    if parts.scheme != "http" or not parts.hostname or parts.path not in ("", "/"):
        raise InvalidRequest(f"--target {url!r} is no server; write http://host:port.", param="target")
    return Address(parts.hostname, port)


def _recorded(options: Namespace, out: Output) -> tuple[float, ...]:
    from undercroft.cli.commands.plan.telemetry import recorded_arrivals

    return recorded_arrivals(options, out)


def _show(result: Report, out: Output) -> None:
    if out.json:
        out.show(result)
        return
    out.table([_row(each) for each in result.lines])
    for text in result.calibrated:
        out.line(text)
    for note in result.notes:
        out.note(f"note: {note}")
    out.line(
        f"all judged predictions are within {result.band:.0%} of what was measured"
        if result.is_within
        else f"a judged prediction is off by more than {result.band:.0%}"
    )


def _row(each: Line) -> dict[str, object]:
    predicted = f"{each.low:.2f}" if each.low == each.high else f"{each.low:.2f} to {each.high:.2f}"
    verdict = ("ok" if each.is_within else "OFF") if each.is_judged else ""
    return {
        "workload": each.workload,
        "load": each.load,
        "what": each.what,
        "predicted (derived)": predicted,
        "measured": f"{each.measured:.2f}",
        "unit": each.unit,
        "error": f"{each.error:+.1%}",
        f"of {len(each.runs)} runs": ", ".join(f"{run:.2f}" for run in each.runs),
        "": verdict,
    }
