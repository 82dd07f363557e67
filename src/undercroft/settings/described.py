"""The JSON Schema of the settings, for editors and the reference: each with what its docstring says.

Read from the source when somebody asks for it. pydantic would do it whenever the settings are imported, which every
start of every program pays for.
"""

import ast
import inspect
import textwrap
from collections.abc import Iterator
from typing import Any

from pydantic import BaseModel

from undercroft.settings.model import Settings
from undercroft.settings.section import Section

Schema = dict[str, Any]


def settings_schema() -> Schema:
    """The schema (2020-12) with descriptions."""
    schema = Settings.model_json_schema()
    sections = {section.__name__: section for section in _all(Section)}
    for name, table in {**schema["$defs"], Settings.__name__: schema}.items():
        for key, text in (descriptions(sections[name]) if name in sections else {}).items():
            known = table.get("properties", {}).get(key)
            if known is not None:
                table["properties"][key] = dict(sorted({**known, "description": text}.items()))
    return schema


def descriptions(section: type[Section]) -> dict[str, str]:
    """What each setting of a section is for, its parents' included."""
    return dict(_docstrings(section))


def _all(section: type[Section]) -> Iterator[type[Section]]:
    for each in section.__subclasses__():
        yield each
        yield from _all(each)


def _docstrings(section: type[BaseModel]) -> Iterator[tuple[str, str]]:
    """The fields of a class, its parents' first, with the text that stands below each."""
    for base in reversed(section.__mro__):
        if not issubclass(base, Section) or base is Section:
            continue
        (body,) = ast.parse(textwrap.dedent(inspect.getsource(base))).body
        assert isinstance(body, ast.ClassDef)
        for field, below in zip(body.body, body.body[1:], strict=False):
            match field, below:
                case ast.AnnAssign(target=ast.Name(id=name)), ast.Expr(value=ast.Constant(value=str(text))):
                    yield name, inspect.cleandoc(text)
