"""`import undercroft` costs nothing, and each public name is there when it is used."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import undercroft

HEAVY = (
    "fastapi",
    "starlette",
    "uvicorn",
    "sqlalchemy",
    "celery",
    "pydantic",
    "msgspec",
    "structlog",
    "rich",
    "asyncio",
)


def test_importing_the_package_imports_nothing_heavy() -> None:
    code = "import sys; before = set(sys.modules); import undercroft; print(*(set(sys.modules) - before))"
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert not set(HEAVY).intersection(shown)
    assert [name for name in shown if name.startswith("undercroft")] == ["undercroft"]


@pytest.mark.parametrize("name", [name for name in undercroft.__all__ if name != "__version__"])
def test_each_public_name_is_there_when_it_is_used(name: str) -> None:
    assert callable(getattr(undercroft, name))
    assert name in dir(undercroft)


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="module 'undercroft' has no attribute 'crate_app'"):
        _ = undercroft.crate_app


def test_type_checkers_see_the_same_names() -> None:
    source = Path(undercroft.__file__).read_text(encoding="utf-8")
    guarded = next(node for node in ast.parse(source).body if isinstance(node, ast.If))
    seen = {name.asname for node in guarded.body if isinstance(node, ast.ImportFrom) for name in node.names}
    assert seen == set(undercroft.__all__) - {"__version__"}
