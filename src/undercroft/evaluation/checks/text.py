"""Checks of the text alone: exact, contains, regex, json_schema, number."""

import math
import re
from typing import Any, Final

import msgspec

from undercroft.errors import MissingExtra
from undercroft.evaluation.check import Tools, marked
from undercroft.evaluation.types import Answer, Case, Mark
from undercroft.llm.schema_references import foreign_reference

_NUMBER: Final = re.compile(r"[-+]?(?:\d{1,3}(?:,\d{3})+|\d+)?(?:\.\d+)?(?:[eE][-+]?\d+)?")
SHOWN: Final = 200
LONGEST: Final = 100_000
"""Characters that a pattern is tried on: one that goes wild on a long text must not stop the run."""


class Exact:
    """The answer is the text (else the case's `expected`), spaces around it aside. `{"to": …, "ignore_case": true}`."""

    def __init__(self, value: object) -> None:
        fields = value if isinstance(value, dict) else {"to": value}
        self._to, self._ignore_case = fields.get("to"), bool(fields.get("ignore_case", False))

    async def mark(self, case: Case, answer: Answer, tools: Tools, /) -> Mark:
        wanted = str(self._to if self._to is not None else case.expected or "").strip()
        given = answer.text.strip()
        if self._ignore_case:
            wanted, given = wanted.casefold(), given.casefold()
        return marked(
            "exact", given == wanted, "" if given == wanted else f"{given[:SHOWN]!r} is not {wanted[:SHOWN]!r}"
        )


class Contains:
    """The answer holds a text, or every text of a list; with `{"any": […]}` one of them, with `{"none": […]}` none."""

    def __init__(self, value: object) -> None:
        fields = value if isinstance(value, dict) else {"all": value}
        self._all, self._any, self._none = (_texts(fields.get(name)) for name in ("all", "any", "none"))

    async def mark(self, case: Case, answer: Answer, tools: Tools, /) -> Mark:
        text = answer.text.casefold()
        wanted = self._all or (() if self._any or self._none else _texts(case.expected))
        if missing := [each for each in wanted if each.casefold() not in text]:
            return marked("contains", passed=False, note=f"{missing[0]!r} is missing")
        if self._any and not any(each.casefold() in text for each in self._any):
            return marked("contains", passed=False, note=f"none of {list(self._any)} is there")
        if found := [each for each in self._none if each.casefold() in text]:
            return marked("contains", passed=False, note=f"{found[0]!r} is there")
        return marked("contains", passed=True)


class Regex:
    """The pattern is found in the answer."""

    def __init__(self, value: object) -> None:
        try:
            self._pattern = re.compile(str(value))
        except re.error as error:
            raise ValueError(f"{value!r} is no pattern: {error}") from error

    async def mark(self, case: Case, answer: Answer, tools: Tools, /) -> Mark:
        found = self._pattern.search(answer.text[:LONGEST]) is not None
        return marked("regex", found, "" if found else f"{self._pattern.pattern!r} is not found")


class JsonSchema:
    """The answer is JSON that the schema takes; a fence of three backticks around it is no fault."""

    def __init__(self, value: object) -> None:
        try:
            from jsonschema import Draft202012Validator
            from jsonschema.exceptions import SchemaError
        except ImportError as error:
            raise MissingExtra("The check json_schema", extra="releases") from error
        if not isinstance(value, dict):
            raise ValueError("a schema is an object")
        try:
            Draft202012Validator.check_schema(value)
        except SchemaError as error:
            raise ValueError(f"this is no JSON Schema: {error.message}") from error
        if (foreign := foreign_reference(value)) is not None:
            raise ValueError(f"the schema refers to {foreign[:100]!r}, which is not in it")
        self._validator: Any = Draft202012Validator(value)

    async def mark(self, case: Case, answer: Answer, tools: Tools, /) -> Mark:
        try:
            value = msgspec.json.decode(unfenced(answer.text))
        except msgspec.MsgspecError as error:
            return marked("json_schema", passed=False, note=f"no JSON: {error}")
        wrong = next(iter(self._validator.iter_errors(value)), None)
        return marked(
            "json_schema", wrong is None, "" if wrong is None else f"{wrong.json_path}: {wrong.message}"[:SHOWN]
        )


class Number:
    """The last number of the answer is the one that is wanted: `{"value": 3.14, "tolerance": 0.01}`; `relative`
    instead of `tolerance` is a share of the value. Without a value it is the case's `expected`."""

    def __init__(self, value: object) -> None:
        fields: dict[str, Any] = value if isinstance(value, dict) else {"value": value}
        self._value = None if fields.get("value") is None else float(fields["value"])
        self._tolerance, self._relative = float(fields.get("tolerance", 0.0)), float(fields.get("relative", 0.0))

    async def mark(self, case: Case, answer: Answer, tools: Tools, /) -> Mark:
        wanted = self._value if self._value is not None else last_number(case.expected or "")
        given = last_number(answer.text)
        if wanted is None or given is None:
            return marked("number", passed=False, note="there is no number")
        fits = math.isclose(given, wanted, rel_tol=self._relative, abs_tol=self._tolerance)
        return marked("number", fits, "" if fits else f"{given:g} is not {wanted:g}")


def unfenced(text: str) -> str:
    """The text without a Markdown fence around it."""
    found = re.fullmatch(r"\s*```[a-z]*\n(.*)\n\s*```\s*", text, re.DOTALL)
    return found[1] if found else text


def last_number(text: str) -> float | None:
    """The last number in a text; thousands may be set apart by commas."""
    found = [each for each in _NUMBER.findall(text) if any(digit.isdigit() for digit in each)]
    return float(found[-1].replace(",", "")) if found else None


def _texts(value: object) -> tuple[str, ...]:
    if value is None:
        return ()
    return tuple(map(str, value)) if isinstance(value, list | tuple) else (str(value),)
