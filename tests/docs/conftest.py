"""Programs of the checkout that are no package, as modules."""

import importlib.util
import sys
from types import ModuleType

import pytest

from tests.support.checkout import ROOT


@pytest.fixture(scope="session")
def reference() -> ModuleType:
    """The generator of docs/reference."""
    return module_of("scripts/reference.py")


@pytest.fixture(scope="session")
def bench_readme() -> ModuleType:
    """What writes the tables of measured figures."""
    return module_of("benchmarks/readme.py")


def module_of(file: str) -> ModuleType:
    name = file.removesuffix(".py").replace("/", "_")
    spec = importlib.util.spec_from_file_location(name, ROOT / file)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module
