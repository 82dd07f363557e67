"""Functions subscribe by decorator, from modules that the configuration names."""

import sys
from pathlib import Path

import pytest

import undercroft
from undercroft.errors import ConfigurationError
from undercroft.events.subscribers import on, subscriptions_in


@pytest.fixture
def modules(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that Python looks into."""
    monkeypatch.syspath_prepend(tmp_path)
    return tmp_path


def test_a_named_modules_functions_are_subscribed_and_keep_their_own_behaviour(modules: Path) -> None:
    (modules / "listening_here.py").write_text(
        "import undercroft\n\n@undercroft.on('job.*', 'batch.failed')\ndef heard(event):\n    return event\n"
    )
    found = {each.name: each for each in subscriptions_in(["listening_here"])}

    heard = found["listening_here.heard"]
    assert heard.wants("job.dead")
    assert heard.wants("batch.failed")
    assert not heard.wants("batch.completed")
    assert sys.modules["listening_here"].heard("x") == "x"


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("import undercroft\n@undercroft.on('job.dun')\ndef f(e): ...\n", "no event has the type 'job.dun'"),
        ("import undercroft\n@undercroft.on()\ndef f(e): ...\n", "wants a type"),
        ("1 / 0\n", "ZeroDivisionError"),
        ("import nowhere_to_be_found\n", "nowhere_to_be_found"),
    ],
)
def test_a_module_that_cannot_be_used_is_told_with_the_reason(modules: Path, text: str, reason: str) -> None:
    name = f"broken_{abs(hash(text))}"
    (modules / f"{name}.py").write_text(text)
    with pytest.raises(ConfigurationError, match=reason) as error:
        subscriptions_in([name])
    assert name in error.value.message


def test_the_decorator_is_offered_by_the_package() -> None:
    assert undercroft.on is on
