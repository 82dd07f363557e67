"""What Prometheus works out and watches, as values: rendered, tested and documented from the same ones."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

Severity = Literal["page", "ticket"]
"""`page`: somebody is woken; `ticket`: somebody looks tomorrow."""


@dataclass(frozen=True, slots=True)
class Recording:
    """A series that is worked out beforehand: dashboards and alerts share it."""

    name: str
    expression: str


@dataclass(frozen=True, slots=True)
class Proof:
    """A course of events that fires an alert, for `promtool test rules`."""

    series: Mapping[str, str]
    """Values by series, in promtool's notation, one a step."""
    at: str
    """When the alert is firing, from the beginning."""
    labels: tuple[Mapping[str, str], ...] = ({},)
    """Of each alert that fires, besides its severity."""
    step: Literal["1m", "15m"] = "1m"
    """`15m` for what takes days: promtool works through every step of them."""


@dataclass(frozen=True, slots=True)
class Alert:
    """What somebody has to know, and why it is true."""

    name: str
    expression: str
    lasting: str
    """For how long it has to be so."""
    severity: Severity
    summary: str
    """A sentence; `{{ $labels.x }}` stands for a label."""
    proof: Proof = field(compare=False)

    def summary_of(self, labels: Mapping[str, str]) -> str:
        """As it is read when the alert has these labels."""
        text = self.summary
        for name, value in labels.items():
            text = text.replace(f"{{{{ $labels.{name} }}}}", value)
        return text
