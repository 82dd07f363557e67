"""Error budgets and how fast they burn: recording rules and alerts made from `[slo]`.

Two windows for each alert, a long one that says it matters and a short one that says it still goes on, with the factors
of "The Site Reliability Workbook" (chapter 5, alerting on SLOs): 14.4 burns 2 % of a 30-day budget in an hour, 6 burns
5 % in six hours, 3 burns 10 % in a day, 1 burns all of it by the end.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from undercroft.deploy.targets.monitoring.rule import Alert, Proof, Recording
from undercroft.settings.slo import Slo

WINDOWS: Final = ("5m", "30m", "1h", "2h", "6h")
LONG_WINDOWS: Final = ("1d", "3d")
FAST: Final = (("14.4", "1h", "5m"), ("6", "6h", "30m"))
SLOW: Final = (("3", "1d", "2h"), ("1", "3d", "6h"))

_AT: Final = 'endpoint="/v1/chat/completions",model="chat",provider="openai"'


@dataclass(frozen=True, slots=True)
class Objective:
    """A share of calls that have to be good."""

    key: str
    """In names of series: `availability`."""
    title: str
    """In names of alerts: `Availability`."""
    target: float
    bad: str
    """What counts bad calls; `WINDOW` stands for the time."""
    all: str
    """What counts those that could be."""
    failing: dict[str, str]
    """Series in which every second call is bad, for the proof."""
    what: str

    @property
    def budget(self) -> str:
        return f"{1 - self.target:.6g}"

    def ratio(self, window: str) -> str:
        """The name of the series with the share of bad calls."""
        return f"ai:slo_{self.key}_bad:ratio_rate{window}"

    def burns(self, factor: str, window: str) -> str:
        """Whether the budget is used up so many times faster than it may."""
        return f"{self.ratio(window)} > {factor} * {self.budget}"


def objectives(slo: Slo) -> tuple[Objective, ...]:
    """What `[slo]` promises and a rate can show."""
    return (
        Objective(
            "availability",
            "Availability",
            slo.availability,
            "sum(rate(ai_api_faults_total[WINDOW]))",
            "sum(rate(ai_api_calls_total[WINDOW]))",
            {f"ai_api_faults_total{{{_AT}}}": "0+30x300", f"ai_api_calls_total{{{_AT}}}": "0+60x300"},
            "calls fail by our or a provider's fault",
        ),
        _latency("latency", "Latency", "ai_api_latency_seconds", slo.latency, slo.latency_s, "calls are slow"),
        _latency(
            "first_token",
            "FirstToken",
            "ai_time_to_first_token_seconds",
            slo.first_token,
            slo.first_token_s,
            "answers begin late",
        ),
    )


def _latency(key: str, title: str, metric: str, target: float, seconds: float, what: str) -> Objective:
    bound = str(float(seconds))
    return Objective(
        key,
        title,
        target,
        f'(sum(rate({metric}_count[WINDOW])) - sum(rate({metric}_bucket{{le="{bound}"}}[WINDOW])))',
        f"sum(rate({metric}_count[WINDOW]))",
        {f"{metric}_count{{{_AT}}}": "0+60x300", f'{metric}_bucket{{{_AT},le="{bound}"}}': "0+30x300"},
        f"{what} (over {seconds:g} s)",
    )


def recordings(slo: Slo) -> Iterator[Recording]:
    """The share of bad calls over the windows of hours."""
    for each in objectives(slo):
        yield from (_share(each, window) for window in WINDOWS)


def long_recordings(slo: Slo) -> Iterator[Recording]:
    """The same over days, and what is left of the budget: they read much, and need not be new every 15 s."""
    for each in objectives(slo):
        yield from (_share(each, window) for window in dict.fromkeys((*LONG_WINDOWS, f"{slo.window_days}d")))
        yield Recording(
            f"ai:slo_{each.key}_budget_left:ratio", f"1 - {each.ratio(f'{slo.window_days}d')} / {each.budget}"
        )


def _share(objective: Objective, window: str) -> Recording:
    share = f"{objective.bad} / {objective.all}"
    return Recording(objective.ratio(window), share.replace("WINDOW", window))


def alerts(slo: Slo) -> Iterator[Alert]:
    """Two for each objective: one that wakes somebody, one that waits for the morning."""
    for each in objectives(slo):
        for speed, pairs, lasting, at, severity in (
            ("Fast", FAST, "2m", "70m", "page"),
            ("Slowly", SLOW, "1h", "4320m", "ticket"),
        ):
            yield Alert(
                f"Undercroft{each.title}BudgetBurns{speed}",
                " or ".join(
                    f"({each.burns(factor, long)} and {each.burns(factor, short)})" for factor, long, short in pairs
                ),
                lasting,
                "page" if severity == "page" else "ticket",
                f"So many {each.what} that the error budget of {slo.window_days} days will not last.",
                Proof(each.failing, at, step="1m" if severity == "page" else "15m"),
            )
    if slo.cost_per_request is not None:
        yield Alert(
            "UndercroftCallsCostTooMuch",
            f"sum(increase(ai_cost_usd_total[1d])) / sum(increase(ai_api_calls_total[1d])) > {slo.cost_per_request}",
            "1h",
            "ticket",
            f"Over the last day a call has cost more than ${slo.cost_per_request} on average.",
            Proof(
                {
                    f"ai_cost_usd_total{{{_AT}}}": f"0+{float(slo.cost_per_request) * 120:g}x100",
                    f"ai_api_calls_total{{{_AT}}}": "0+60x100",
                },
                "1440m",
                step="15m",
            ),
        )
