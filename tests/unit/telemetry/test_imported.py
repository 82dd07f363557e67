"""What is done when a library is imported, whoever imports it."""

import sys
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

import pytest

from undercroft.telemetry.imported import when_imported

NAME = "a_library_that_nobody_has"


@pytest.fixture
def library(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    (tmp_path / f"{NAME}.py").write_text("value = 1\n")
    monkeypatch.syspath_prepend(tmp_path)
    before = sys.meta_path[:]
    yield NAME
    sys.meta_path[:] = before
    sys.modules.pop(NAME, None)


def test_it_is_done_once_and_when_the_library_is_whole(library: str) -> None:
    seen: list[int] = []
    when_imported(library, lambda: seen.append(sys.modules[library].value))
    assert seen == []
    import_module(library)
    import_module(library)
    assert seen == [1]


def test_it_is_done_at_once_where_the_library_is_there_already(library: str) -> None:
    import_module(library)
    done: list[str] = []
    when_imported(library, lambda: done.append("now"))
    assert done == ["now"]


def test_a_second_wish_replaces_the_first(library: str) -> None:
    done: list[str] = []
    when_imported(library, lambda: done.append("first"))
    when_imported(library, lambda: done.append("second"))
    import_module(library)
    assert done == ["second"]


def test_the_library_looks_as_if_nobody_had_waited_for_it(library: str) -> None:
    plain = type(import_module("undercroft.clock").__loader__)
    before = sys.meta_path[:]
    when_imported(library, lambda: None)
    module = import_module(library)
    assert module.__spec__ is not None
    assert type(module.__loader__) is type(module.__spec__.loader) is plain
    assert sys.meta_path == before


def test_a_library_that_is_not_there_is_not_there(library: str) -> None:
    when_imported(f"{library}_either", lambda: pytest.fail("nothing was imported"))
    with pytest.raises(ModuleNotFoundError, match=f"{library}_either"):
        import_module(f"{library}_either")
