"""`undercroft plan simulate`."""

from argparse import Namespace
from pathlib import Path
from typing import Any, Final

import msgspec

from undercroft.cli.output import Output
from undercroft.errors import InvalidRequest
from undercroft.planning.bounds import bounded
from undercroft.planning.estimate import MOST_MS
from undercroft.planning.plots import plot_page, plot_svg
from undercroft.planning.scenario import Autoscaler, Clients, Provider, Scenario, Window, service_times
from undercroft.planning.simulate import simulate
from undercroft.planning.timeline import Run, Step

TARGETS: Final = {"none": 1.0, "cpu": 0.6, "queue": 10.0, "concurrency": 10.0}


def run(options: Namespace, out: Output) -> int:
    scenario = scenario_of(options)
    with out.progress("simulating", total=round(scenario.expected_arrivals)) as advance:
        result = simulate(scenario, advance)
    if options.out is not None:
        _write(options.out, result)
        out.note(f"plot: {options.out}")
    if out.json:
        out.show(result)
        return 0
    out.table([_row(step) for step in result.timeline])
    summary = result.summary
    out.line("")
    for name, value in msgspec.to_builtins(summary).items():
        out.line(f"{name:<16} {_shown(value)}")
    return 0


def scenario_of(options: Namespace) -> Scenario:
    """Raises InvalidRequest, naming the option, for what cannot be simulated."""
    mean_ms = bounded("avg_ms", options.avg_ms, least=0.001, most=MOST_MS, unit="ms")
    scv = bounded("scv", options.scv, least=0, most=100)
    target = TARGETS[options.policy] if options.target is None else options.target
    return Scenario(
        rate=options.rate,
        duration_s=options.duration,
        services=service_times(mean_ms / 1000, scv),
        replicas=options.replicas,
        slots=options.slots,
        routing=options.routing,
        bursts=tuple(_window("--burst", text, parts=3) for text in options.burst),
        clients=Clients(timeout_s=options.timeout, retries=options.retries, backoff_s=options.backoff),
        provider=Provider(
            outages=tuple(_window("--outage", text, parts=2) for text in options.outage),
            requests_per_minute=options.provider_rpm,
        ),
        autoscaler=Autoscaler(
            policy=options.policy,
            target=target,
            least=options.min_replicas,
            most=options.max_replicas,
            start_s=options.cold_start,
        ),
        steps=options.steps,
        seed=options.seed,
    ).check()


def _window(option: str, text: str, *, parts: int) -> Window:
    example = "600:900:4" if parts == 3 else "600:900"
    try:
        numbers = [float(part) for part in text.split(":")]
    except ValueError:
        numbers = []
    if len(numbers) != parts:
        raise InvalidRequest(f"{option} {text!r} is not understood; write {example} (seconds).", param=option[2:])
    return Window(start_s=numbers[0], end_s=numbers[1], factor=numbers[2] if parts == 3 else 1.0)


def _write(file: Path, result: Run) -> None:
    if file.suffix not in (".svg", ".html"):
        raise InvalidRequest(f"--out {str(file)!r} is no plot; name it .svg or .html.", param="out")
    file.write_text(plot_svg(result) if file.suffix == ".svg" else plot_page(result), encoding="utf-8")


def _row(step: Step) -> dict[str, object]:
    return {name: _shown(value) for name, value in msgspec.to_builtins(step).items()}


def _shown(value: Any) -> object:
    return round(value, 2) if isinstance(value, float) else value
