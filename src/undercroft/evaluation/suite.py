"""Reading suites: YAML or JSON with everything in it, or JSONL with a case a line."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final, TypeVar

import msgspec

from undercroft.errors import InvalidRequest
from undercroft.evaluation.types import Asking, Case, CheckSpec, Message, PromptRef, Suite

T = TypeVar("T")
MOST_REPEATS: Final = 100
_SUITE_FIELDS: Final = frozenset({"name", "model", "prompt", "parameters", "repeat", "checks", "cases"})
_CASE_FIELDS: Final = frozenset({"id", "input", "messages", "variables", "expected", "checks", "tags"})


def suite_of(value: object, *, name: str, where: str) -> Suite:
    """A suite from unread JSON: an object, or a list of cases. Raises InvalidRequest, which says what is wrong in
    which case of `where`."""
    fields: dict[str, Any] = {"cases": value} if isinstance(value, list) else _object(value, where)
    _known(fields, _SUITE_FIELDS, where)
    shared = checks_of(fields.get("checks", []), where)
    cases = fields.get("cases")
    if not isinstance(cases, list) or not cases:
        raise InvalidRequest(f"{where}: there are no cases.", param="cases")
    repeat = fields.get("repeat", 1)
    if not isinstance(repeat, int) or not 1 <= repeat <= MOST_REPEATS:
        raise InvalidRequest(f"{where}: 'repeat' is a number from 1 to {MOST_REPEATS}.", param="repeat")
    read = tuple(_case(each, number, shared, where) for number, each in enumerate(cases, 1))
    ids = [case.id for case in read]
    if twice := sorted({each for each in ids if ids.count(each) > 1}):
        raise InvalidRequest(f"{where}: there are several cases with the id '{twice[0]}'.", param="cases")
    prompt = fields.get("prompt")
    return Suite(
        name=str(fields.get("name") or name),
        cases=read,
        model=_convert(fields.get("model", ""), str, f"{where}: model"),
        prompt=None if prompt is None else _convert(prompt, PromptRef, f"{where}: prompt"),
        asking=_convert(fields.get("parameters", {}), Asking, f"{where}: parameters"),
        repeat=repeat,
    )


def read_lines(path: Path) -> list[Any]:
    """A case a line. Raises InvalidRequest with the number of the line that cannot be read."""
    cases = []
    for number, line in enumerate(path.read_text("utf-8").splitlines(), 1):
        if line.strip():
            try:
                cases.append(msgspec.json.decode(line))
            except msgspec.MsgspecError as error:
                raise InvalidRequest(f"{path}:{number} is no JSON: {error}.") from error
    return cases


def _case(value: object, number: int, shared: tuple[CheckSpec, ...], where: str) -> Case:
    place = f"{where}, case {number}"
    fields = _object(value, place)
    _known(fields, _CASE_FIELDS, place)
    if ("input" in fields) == ("messages" in fields):
        raise InvalidRequest(f"{place}: a case has 'input' or 'messages'.", param="cases")
    given = [{"content": fields["input"]}] if "input" in fields else fields["messages"]
    expected = fields.get("expected")
    checks = checks_of(fields.get("checks", []), place)
    if expected is not None and not checks:
        checks = (CheckSpec(kind="exact"),)
    return Case(
        id=str(fields.get("id", number)),
        messages=_convert(given, tuple[Message, ...], place),
        variables=_convert(fields.get("variables", {}), dict[str, Any], f"{place}: variables"),
        expected=None if expected is None else str(expected),
        checks=checks + shared,
        tags=_convert(fields.get("tags", []), tuple[str, ...], f"{place}: tags"),
    )


def checks_of(value: object, where: str) -> tuple[CheckSpec, ...]:
    """A list of checks: `exact`, or an object with the check's name, `{"contains": "Paris"}`. Raises InvalidRequest,
    which says what is wrong in `where`."""
    if not isinstance(value, list):
        raise InvalidRequest(f"{where}: 'checks' is a list.", param="checks")
    found = []
    for each in value:
        if isinstance(each, str):
            found.append(CheckSpec(kind=each))
        elif isinstance(each, dict) and len(each) == 1:
            ((kind, told),) = each.items()
            found.append(CheckSpec(kind=str(kind), value=told))
        else:
            raise InvalidRequest(
                f"{where}: a check is a name, or an object with one name, such as contains.", param="checks"
            )
    return tuple(found)


def _object(value: object, place: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise InvalidRequest(f"{place}: this is to be an object.", param="cases")
    return value


def _known(fields: Iterable[str], known: frozenset[str], place: str) -> None:
    if unknown := sorted(set(fields) - known):
        raise InvalidRequest(f"{place}: there is no field '{unknown[0]}'; there are {', '.join(sorted(known))}.")


def _convert(value: object, kind: type[T], place: str) -> T:
    try:
        return msgspec.convert(value, kind)
    except msgspec.ValidationError as error:
        raise InvalidRequest(f"{place}: {error}.") from error
