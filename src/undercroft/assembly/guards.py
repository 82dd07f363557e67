"""From `[[guards.rules]]` to the stage that applies them."""

from collections.abc import Mapping
from importlib.metadata import entry_points
from typing import TYPE_CHECKING, Final

from undercroft.errors import ConfigurationError
from undercroft.gateway.call import Call, Stage
from undercroft.settings.model import GuardRule, Settings
from undercroft.telemetry.instruments import Counter, Labelled
from undercroft.telemetry.logs import get_logger
from undercroft.telemetry.metrics import Metrics

if TYPE_CHECKING:
    from undercroft.guards.guard import Rule
    from undercroft.guards.types import Check, Side

GROUP: Final = "undercroft.guards"
"""Entry points of installed packages: a class without arguments that is a Check."""

BUILT_IN: Final = ("pii", "injection", "terms", "size", "schema")
_SIDES: Final[Mapping[str, "frozenset[Side]"]] = {
    "input": frozenset({"input"}),
    "output": frozenset({"output"}),
    "both": frozenset({"input", "output"}),
}


def guard_of(settings: Settings, metrics: Metrics) -> Stage | None:
    """None where there are no rules: nothing of guards is even imported then. Raises ConfigurationError."""
    found = metrics.counter(
        "ai_guard_finds_total",
        "Calls in which a rule of the guards has found something, by what is done about it: block, mask or flag.",
        ("rule", "action"),
    )
    rules = settings.guards.rules
    if not rules:
        return None
    from undercroft.gateway.stages.guard import Guard

    return Guard([_rule(rule) for rule in rules], tell=_Told({rule.name: rule.action for rule in rules}, found))


def _rule(rule: GuardRule) -> "Rule":
    from undercroft.guards.guard import Rule

    return Rule(
        name=rule.name,
        check=_check(rule),
        action=rule.action,
        sides=_SIDES[rule.on],
        keys=frozenset(rule.keys) if rule.keys else None,
        routes=frozenset(rule.routes) if rule.routes else None,
        models=frozenset(rule.models) if rule.models else None,
    )


def _check(rule: GuardRule) -> "Check":
    match rule.check:
        case "pii":
            from undercroft.guards.pii import KINDS, PersonalData

            return PersonalData(rule.kinds or KINDS)
        case "injection":
            from undercroft.guards.injection import Injection

            return Injection()
        case "terms":
            from undercroft.guards.terms import BlockedTerms

            return BlockedTerms(rule.terms)
        case "size":
            from undercroft.guards.size import TooLong

            return TooLong(rule.max_characters or 0)
        case "schema":
            from undercroft.guards.schema import JsonShape

            return JsonShape(rule.json_schema or "")
        case name:
            return _installed(name)


def _installed(name: str) -> "Check":
    installed = {each.name: each for each in entry_points(group=GROUP)}
    if name not in installed:
        known = ", ".join(sorted([*BUILT_IN, *installed]))
        raise ConfigurationError(f"There is no guard '{name}'; there are {known}.")
    check: Check = installed[name].load()()
    return check


class _Told:
    """Logs what was found in calls, and counts each call once for each rule that has found something."""

    def __init__(self, actions: Mapping[str, str], counter: Labelled[Counter]) -> None:
        self._actions = actions
        self._counter = counter

    def __call__(self, call: Call, found: tuple[str, ...]) -> None:
        logger = get_logger("undercroft.guards")
        logger.warning("guard_found", request_id=call.id, key=call.who.key, model=call.trail.model, found=list(found))
        before = {self._rule_of(each) for each in call.trail.guarded[: -len(found)]}
        for rule in {self._rule_of(each) for each in found} - before:
            self._counter.labels(rule, self._actions[rule]).add()

    def _rule_of(self, found: str) -> str:
        """Of `rule:kind`; in both there may be colons."""
        return max((rule for rule in self._actions if found.startswith(f"{rule}:")), key=len)
