"""What a running server cannot change is found, with the place where it was written, and without its value."""

from pathlib import Path

import pytest

from undercroft.settings.model import Settings
from undercroft.settings.restart import FIXED, needs_restart
from undercroft.settings.sources import Loaded, load

RUNNING = """
[server]
port = 8000
default_model = "local"

[database]
url = "postgresql://undercroft:first-password@db/undercroft"
"""


def loaded(directory: Path, toml: str, **environment: str) -> Loaded:
    (directory / "undercroft.toml").write_text(toml)
    return load(config=None, environment=environment, directory=directory)


@pytest.mark.parametrize(
    ("was", "now", "told"),
    [
        ("port = 8000", "port = 8001", "undercroft.toml:3: server.port was changed, and that takes a restart"),
        ("port = 8000", "", "default: server.port was changed, and that takes a restart"),
        ("first-password", "other-password", "undercroft.toml:7: database.url was changed, and that takes a restart"),
        ("[server]", "data_dir = 'd'\n[server]", "undercroft.toml:2: data_dir was changed, and that takes a restart"),
        (
            "[database]",
            "[local]\nslots = 2\n[database]",
            "undercroft.toml:7: local.slots was changed, and that takes a restart",
        ),
    ],
)
def test_each_change_that_takes_a_restart_is_named_with_its_place(
    tmp_path: Path, was: str, now: str, told: str
) -> None:
    running = loaded(tmp_path, RUNNING.replace("8000", "8001") if now == "" else RUNNING).settings
    assert needs_restart(running, loaded(tmp_path, RUNNING.replace(was, now))) == [told]


def test_all_of_them_are_named_at_once(tmp_path: Path) -> None:
    running = loaded(tmp_path, RUNNING).settings
    changed = loaded(tmp_path, RUNNING, UNDERCROFT_SERVER__PORT="9000", UNDERCROFT_SERVER__ROLE="gateway")
    assert needs_restart(running, changed) == [
        "environment (UNDERCROFT_SERVER__PORT): server.port was changed, and that takes a restart",
        "environment (UNDERCROFT_SERVER__ROLE): server.role was changed, and that takes a restart",
    ]


def test_everything_else_may_change(tmp_path: Path) -> None:
    running = loaded(tmp_path, RUNNING).settings
    toml = RUNNING.replace(
        'default_model = "local"', 'default_model = "chat"\nallowed_hosts = ["ai.example.com"]\nrequest_timeout_s = 5'
    )
    more = '[[models]]\nname = "chat"\ndeployments = [{ provider = "scripted" }]\n[egress]\nmax_connections = 3\n'
    changed = loaded(tmp_path, toml + more, UNDERCROFT_MASTER_KEY="a-master-key-that-is-long-enough")
    assert changed.settings != running
    assert needs_restart(running, changed) == []


def test_what_is_fixed_exists() -> None:
    tree = Settings().model_dump()
    for place in FIXED:
        value = tree
        for step in place:
            assert step in value, place
            value = value[str(step)]
