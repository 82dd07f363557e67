"""Filling a prompt: `{{name}}` and nothing else. There is no logic in a template, so there is nothing to inject."""

import re
from collections.abc import Mapping
from typing import Any, Final

import msgspec

from undercroft.errors import InvalidRequest
from undercroft.versions.content import PromptContent, Variable, VariableType

_PLACE: Final = re.compile(r"\{\{\s*([A-Za-z_][A-Za-z0-9_]{0,63})\s*\}\}")
_TYPES: Final[dict[VariableType, tuple[type, ...]]] = {
    "string": (str,),
    "integer": (int,),
    "number": (int, float),
    "boolean": (bool,),
    "array": (list, tuple),
    "object": (dict,),
}


def places(content: PromptContent) -> frozenset[str]:
    """The variables that its messages name."""
    return frozenset(name for message in content.messages for name in _PLACE.findall(message.content))


def check(content: PromptContent) -> None:
    """Raises InvalidRequest where places and variables do not belong together, or a default is not of its type."""
    named, declared = places(content), content.variables.keys()
    if missing := sorted(named - declared):
        raise InvalidRequest(
            f"The prompt names {{{{{missing[0]}}}}}, which is not among its variables.", param="variables"
        )
    if idle := sorted(declared - named):
        raise InvalidRequest(f"The variable '{idle[0]}' stands nowhere in the prompt.", param="variables")
    for name, variable in content.variables.items():
        for value in (*variable.choices, *(() if variable.default is None else (variable.default,))):
            _fit(name, variable, value)


def fill(content: PromptContent, values: Mapping[str, Any]) -> tuple[tuple[str, str], ...]:
    """The messages as (role, text). Raises InvalidRequest for a value that is missing, unknown or of another type.

    What is put in is never looked at again: a value that holds `{{…}}` stays as it is.
    """
    if unknown := sorted(values.keys() - content.variables.keys()):
        known = ", ".join(sorted(content.variables)) or "none"
        raise InvalidRequest(f"The prompt has no variable '{unknown[0]}'; it has {known}.", param="prompt.variables")
    texts = {name: _text_of(name, variable, values) for name, variable in content.variables.items()}
    return tuple(
        (message.role, _PLACE.sub(lambda place: texts[place[1]], message.content)) for message in content.messages
    )


def _text_of(name: str, variable: Variable, values: Mapping[str, Any]) -> str:
    if name in values:
        value = values[name]
        _fit(name, variable, value)
    elif variable.required:
        raise InvalidRequest(f"The prompt needs the variable '{name}'.", param="prompt.variables")
    else:
        value = variable.default
    if value is None:
        return ""
    return value if isinstance(value, str) else msgspec.json.encode(value).decode()


def _fit(name: str, variable: Variable, value: object) -> None:
    fits = isinstance(value, _TYPES[variable.type]) and (variable.type == "boolean" or not isinstance(value, bool))
    if not fits:
        raise InvalidRequest(f"The variable '{name}' is {variable.type}.", param="prompt.variables")
    if variable.choices and value not in variable.choices:
        raise InvalidRequest(f"The variable '{name}' takes only {list(variable.choices)}.", param="prompt.variables")
