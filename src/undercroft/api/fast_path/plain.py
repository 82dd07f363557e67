"""Which models' calls are plain: no stage has anything to do for them that the fast path does not do too."""

from collections.abc import Mapping
from typing import Final, NamedTuple

from undercroft.gateway.call import DirectProvider, Model, Stage
from undercroft.gateway.gateway import Gateway
from undercroft.gateway.policy import Policy
from undercroft.gateway.stages.allow import Allow
from undercroft.gateway.stages.cache import Cache
from undercroft.gateway.stages.coalesce import Coalesce
from undercroft.gateway.stages.content import KeepContent, NoteRequest
from undercroft.gateway.stages.deadline import Deadline
from undercroft.gateway.stages.fallback import Fallback
from undercroft.gateway.stages.find import Find
from undercroft.gateway.stages.meter import Meter
from undercroft.gateway.stages.resume import Resume
from undercroft.gateway.stages.retry import Retry
from undercroft.gateway.stages.route import Route

MOST_JUDGED: Final = 2048
"""Models that are found on demand have no end."""

_DONE_HERE: Final = (Meter, Find, Allow, Retry, Route)
"""Stages whose part in a plain call the fast path plays, by their own methods."""


def passes(stage: Stage, policy: Policy) -> bool:
    """Whether a stage is known to leave alone the calls of models with this policy whose callers have asked for nothing
    more. A stage that is not named here may do anything: with it there are no plain calls, until somebody has looked.
    """
    match stage:
        case KeepContent():
            return stage.mode != "always"
        case NoteRequest():  # for KeepContent, which then does not look
            return True
        case Cache():
            return not policy.cache
        case Deadline():
            return policy.total_s is None
        case Coalesce():
            return not policy.coalesce
        case Resume():
            return policy.on_cut == "error"
        case Fallback():
            return not policy.has_fallbacks
        case _:
            return isinstance(stage, _DONE_HERE)


class PlainWays(NamedTuple):
    """What becomes of plain calls of one model."""

    passed: tuple[str, ...]
    """The stages that they pass, as their traces name them."""
    by_deployment: Mapping[str, DirectProvider]
    """How they are sent, by the deployments' ids; empty where they are only answered from the cache."""

    @property
    def are_ready(self) -> bool:
        """Whether a call can be sent at once, whichever deployment it is."""
        for way in self.by_deployment.values():  # noqa: SIM110 - a generator takes longer than to look
            if not way.is_ready():
                return False
        return True


class PlainModels:
    """Judges each model once in the life of a configuration."""

    def __init__(self, gateway: Gateway) -> None:
        opening = gateway.meter.opening  # a method, and the only stage that is none by itself
        self._stages = tuple(stage for stage in gateway.plain_stages if stage != opening)
        self._judged: dict[str, tuple[Model, PlainWays | None]] = {}

    def ways(self, model: Model) -> PlainWays | None:
        """None: this model's calls are not plain."""
        judged = self._judged.get(model.name)
        if judged is not None and judged[0] is model:
            return judged[1]
        if len(self._judged) >= MOST_JUDGED:
            self._judged.clear()
        ways = self._judge(model)
        self._judged[model.name] = model, ways
        return ways

    def _judge(self, model: Model) -> PlainWays | None:
        policy = model.policy
        passed: list[str] = []
        for stage in self._stages:
            if not isinstance(stage, Meter):  # whose span is the call's
                passed.append(type(stage).__name__.lower())
            if isinstance(stage, Cache) and policy.cache:
                return PlainWays(tuple(passed), {})
            if not passes(stage, policy):
                return None
        if model.routing is not None or policy.first_token_s is not None or policy.whole_s is not None:
            return None
        ways = {each.id: each.direct for each in model.deployments if each.direct is not None}
        return PlainWays(tuple(passed), ways) if len(ways) == len(model.deployments) else None
