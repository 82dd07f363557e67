"""What is up and what is not, in words an operator can act on."""

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Health:
    """`checks` has a line per part: "ok", or what is wrong and what to type."""

    checks: dict[str, str] = field(default_factory=dict)
    failing: tuple[str, ...] = ()
    """Parts without which undercroft cannot work: database, broker, disk."""
    loading: bool = False
    """A local model is not there yet."""
    degraded: bool = False
    """Something outside (a provider, a local model that failed) is not well; requests are still served."""

    @property
    def status(self) -> str:
        if self.failing:
            return "unavailable"
        return "degraded" if self.degraded else "ok"
