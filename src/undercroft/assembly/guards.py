"""From `[[guards.rules]]` to the stage that applies them."""

from collections.abc import Mapping, Sequence
from importlib.metadata import entry_points
from typing import TYPE_CHECKING, Final

import msgspec
from pydantic import ValidationError

from undercroft.errors import ConfigurationError, InvalidRequest
from undercroft.gateway.call import Call
from undercroft.settings.guard_rules import faults_of
from undercroft.settings.model import GuardRule, Settings
from undercroft.telemetry.instruments import OTHER
from undercroft.telemetry.logs import get_logger
from undercroft.telemetry.metrics import Metrics
from undercroft.versions.content import GuardrailContent, GuardSpec

if TYPE_CHECKING:
    from undercroft.gateway.stages.guard import Guard
    from undercroft.guards.guard import Rule
    from undercroft.guards.types import Check, Side

GROUP: Final = "undercroft.guards"
"""Entry points of installed packages: a class without arguments that is a Check."""

BUILT_IN: Final = ("pii", "names", "injection", "terms", "size", "schema")
_SIDES: Final[Mapping[str, "frozenset[Side]"]] = {
    "input": frozenset({"input"}),
    "output": frozenset({"output"}),
    "both": frozenset({"input", "output"}),
}


class Told:
    """Logs what was found in calls, and counts each call once for each rule that has found something. Rules of stored
    versions have names of their makers' choice, which are no labels."""

    def __init__(self, settings: Settings, metrics: Metrics) -> None:
        self._configured = {rule.name for rule in settings.guards.rules}
        self._counter = metrics.counter(
            "ai_guard_finds_total",
            "Calls in which a rule of the guards has found something, by what is done about it: block, mask or flag. "
            "Rules of released guardrails are `other`.",
            ("rule", "action"),
        )

    def __call__(self, call: Call, found: tuple[str, ...], rules: "Sequence[Rule]") -> None:
        logger = get_logger("undercroft.guards")
        logger.warning("guard_found", request_id=call.id, key=call.who.key, model=call.trail.model, found=list(found))
        for rule in rules:
            self._counter.labels(rule.name if rule.name in self._configured else OTHER, rule.action).add()


def guard_of(settings: Settings, told: Told) -> "Guard | None":
    """None where there are no rules: nothing of guards is even imported then. Raises ConfigurationError."""
    if not settings.guards.rules:
        return None
    from undercroft.gateway.stages.guard import Guard

    return Guard([_rule(rule) for rule in settings.guards.rules], tell=told)


def rules_of(content: GuardrailContent) -> "list[Rule]":
    """The rules of a stored version. Raises InvalidRequest, which names what cannot be used."""
    sides: tuple[tuple[Side, tuple[GuardSpec, ...]], ...] = (("input", content.input), ("output", content.output))
    return [_pinned_rule(spec, side, f"{side}[{place}]") for side, specs in sides for place, spec in enumerate(specs)]


def _pinned_rule(spec: GuardSpec, side: "Side", where: str) -> "Rule":
    try:
        rule = GuardRule(
            name=spec.name or spec.check,
            check=spec.check,
            action=spec.action,
            on=side,
            kinds=spec.kinds,  # type: ignore[arg-type]  # looked at by the model
            terms=spec.terms,
            max_characters=spec.max_characters,
            json_schema=None if spec.json_schema is None else msgspec.json.encode(spec.json_schema).decode(),
        )
        faults = list(faults_of((), rule))
        if faults:
            place, wrong = faults[0]
            raise InvalidRequest(f"{where}: {place[-1]} {wrong}.", param=f"content.{where}")
        return _rule(rule)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        field = ".".join(map(str, first["loc"]))
        raise InvalidRequest(f"{where}: {field}: {first['msg']}.", param=f"content.{where}") from error
    except ConfigurationError as error:  # no such guard is installed, or its schema is none
        raise InvalidRequest(f"{where}: {error.message}", param=f"content.{where}") from error


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
        case "names":
            from undercroft.guards.names import PeopleNames

            return PeopleNames(rule.pipeline or "")
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
