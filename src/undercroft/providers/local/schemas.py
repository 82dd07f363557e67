"""Which JSON Schemas the local model can be held to.

The runtime turns a schema into a grammar. What it cannot express it drops, with a line on the process's stderr, and
some schemas keep its one sampling thread busy for minutes; so a schema is looked through here first.
"""

import re
from collections.abc import Mapping
from typing import Any

from undercroft.errors import InvalidRequest

MOST_LEVELS = 32
MOST_NODES = 2000
MOST_REPETITIONS = 1000
"""The runtime refuses grammars with more than 2000 repetitions of one thing."""

_REPETITIONS = ("minLength", "maxLength", "minItems", "maxItems")
_ATOM = r"(?:[\w \-/:@,;_~%&=<>#!'\"]|\\[.\\/()\[\]{}+*?^$|\-]|\[\^?(?:[^\]\[\\]|\\[\\\]\[\-.^])+\])"
_SAFE_PATTERN = re.compile(rf"\^(?:{_ATOM}(?:[+*?]|\{{\d{{1,3}}(?:,\d{{0,3}})?\}})?)*\$")
"""Anchored, and made of characters, classes and repetitions only: what the runtime surely knows."""


def usable(schema: Mapping[str, Any], *, strict: bool, param: str) -> dict[str, Any]:
    """The schema as the runtime takes it. Raises InvalidRequest, naming `param`, for what it cannot hold to.

    Patterns and limits it does not know are an error with `strict` and are left out without.
    """
    return _Walk(schema, strict=strict, param=param).node(schema, level=0)


class _Walk:
    def __init__(self, root: Mapping[str, Any], *, strict: bool, param: str) -> None:
        self._root = root
        self._strict = strict
        self._param = param
        self._nodes = 0

    def node(self, schema: Mapping[str, Any], *, level: int) -> dict[str, Any]:
        self._count(level)
        if "$ref" in schema:
            self._check_reference(schema)
        kept = {key: value for key, value in schema.items() if self._is_kept(key, value)}
        return {key: self._inside(key, value, level) for key, value in kept.items()}

    def _inside(self, key: str, value: Any, level: int) -> Any:
        if key in ("enum", "const", "default", "examples"):  # data, not schemas
            self._nodes += len(value) if isinstance(value, list) else 0
            self._count(level)
            return value
        if key in ("properties", "$defs", "definitions") and isinstance(value, dict):
            return {name: self._child(child, level + 1) for name, child in value.items()}
        return self._child(value, level + 1)

    def _child(self, value: Any, level: int) -> Any:
        if isinstance(value, dict):
            return self.node(value, level=level)
        if isinstance(value, list):
            self._count(level)
            return [self._child(item, level + 1) for item in value]
        return value

    def _is_kept(self, key: str, value: Any) -> bool:
        if key == "pattern" and isinstance(value, str) and not _SAFE_PATTERN.fullmatch(value):
            self._cannot(f"the pattern {value!r}")
            return False
        if key in _REPETITIONS and isinstance(value, int) and value > MOST_REPETITIONS:
            if key.startswith("min"):
                raise InvalidRequest(f"The local model cannot hold to {key} {value}.", param=self._param)
            return False  # longer than any answer: no limit
        return True

    def _cannot(self, what: str) -> None:
        if self._strict:
            raise InvalidRequest(
                f"The local model cannot hold to {what}.", param=self._param, hint="Without strict it is left out."
            )

    def _count(self, level: int) -> None:
        self._nodes += 1
        if level > MOST_LEVELS:
            raise InvalidRequest(f"The schema is nested deeper than {MOST_LEVELS} levels.", param=self._param)
        if self._nodes > MOST_NODES:
            raise InvalidRequest(f"The schema has more than {MOST_NODES} parts.", param=self._param)

    def _check_reference(self, schema: Mapping[str, Any]) -> None:
        """A chain of references must end at something: the runtime's grammar would never."""
        seen = set()
        target: Any = schema
        while isinstance(target, Mapping) and "$ref" in target:
            reference = target["$ref"]
            if not isinstance(reference, str) or reference in seen:
                raise InvalidRequest(f"$ref {reference!r} leads nowhere.", param=self._param)
            seen.add(reference)
            target = self._find(reference)

    def _find(self, reference: str) -> Any:
        if not reference.startswith("#/"):
            raise InvalidRequest(f"$ref {reference!r}: only references into $defs are understood.", param=self._param)
        target: Any = self._root
        for step in reference[2:].split("/"):
            name = step.replace("~1", "/").replace("~0", "~")
            if not isinstance(target, Mapping) or name not in target:
                raise InvalidRequest(f"$ref {reference!r} leads nowhere.", param=self._param)
            target = target[name]
        return target
