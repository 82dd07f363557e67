"""What no single setting of a guard shows to be wrong."""

from collections.abc import Iterator
from typing import Final

from undercroft.settings.locate import Place
from undercroft.settings.model import GuardRule, Settings

_NEEDS: Final = {"terms": "terms", "size": "max_characters", "schema": "json_schema", "names": "pipeline"}
_OF_ONE_CHECK: Final = {"kinds": "pii", **{setting: check for check, setting in _NEEDS.items()}}


def problems(settings: Settings) -> Iterator[tuple[Place, str]]:
    """Everything that keeps the guards from being used: where, and what is wrong."""
    seen: set[str] = set()
    for position, rule in enumerate(settings.guards.rules):
        place: Place = ("guards", "rules", position)
        if rule.name in seen:
            yield (*place, "name"), f"is {rule.name!r}, as an earlier one"
        seen.add(rule.name)
        yield from faults_of(place, rule)


def faults_of(place: Place, rule: GuardRule) -> Iterator[tuple[Place, str]]:
    """What is wrong with one rule by itself."""
    needed = _NEEDS.get(rule.check)
    if needed is not None and not getattr(rule, needed):
        yield (*place, "check"), f"is {rule.check!r}, which needs {needed}"
    for setting, check in _OF_ONE_CHECK.items():
        if getattr(rule, setting) and rule.check != check:
            yield (*place, setting), f"means nothing for check {rule.check!r}, only for {check!r}"
    if rule.check in ("size", "schema") and rule.action == "mask":
        yield (*place, "action"), f"is 'mask', and check {rule.check!r} can only block or flag"
    if rule.check == "schema" and rule.on != "output":
        yield (*place, "on"), "takes output for check 'schema': prompts are no JSON"
