"""A simulation's timeline as a picture."""

from collections.abc import Callable

import msgspec

from undercroft.planning.chart import line_chart, page, stacked
from undercroft.planning.timeline import Run, Step


def plot_svg(run: Run) -> str:
    """One SVG: load, latency and replicas over time, one above the other."""
    return stacked(_charts(run))


def plot_page(run: Run) -> str:
    """The same on a page, with the summary and the timeline as a table."""
    summary = msgspec.to_builtins(run.summary)
    notes = [f"{name}: {_rounded(value)}" for name, value in summary.items()]
    rows = [{name: _rounded(value) for name, value in msgspec.to_builtins(step).items()} for step in run.timeline]
    return page("Simulation", _charts(run), notes=notes, rows=rows)


def _charts(run: Run) -> list[str]:
    width_s = run.timeline[1].start_s if len(run.timeline) > 1 else 1.0

    def over_time(value: Callable[[Step], float | None]) -> list[tuple[float, float]]:
        return [(step.start_s, shown) for step in run.timeline if (shown := value(step)) is not None]

    load = {
        "arrivals/s": over_time(lambda step: step.arrivals / width_s),
        "retries/s": over_time(lambda step: step.retries / width_s),
        "answers/s": over_time(lambda step: step.answered / width_s),
        "failures/s": over_time(lambda step: step.failed / width_s),
    }
    latency = {"p50": over_time(lambda step: step.p50_ms), "p95": over_time(lambda step: step.p95_ms)}
    state = {
        "replicas": over_time(lambda step: step.replicas),
        "waiting": over_time(lambda step: step.queue),
        "under way": over_time(lambda step: step.under_way),
    }
    return [
        line_chart("Load", load, x_label="seconds", y_label="a second"),
        line_chart("Latency from the client's first try", latency, x_label="seconds", y_label="ms"),
        line_chart("Replicas and requests", state, x_label="seconds", y_label="number"),
    ]


def _rounded(value: object) -> object:
    return round(value, 3) if isinstance(value, float) else value
