"""Whatever a command changes is in the audit log: every command there is either changes something, or does not."""

import io
from argparse import ArgumentParser, _SubParsersAction
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any, Final

import msgspec
import pytest

from tests.support.local_models import weights
from tests.support.receiver import ALLOWED, receiving
from undercroft.access.audit import Entry, entries_of, verify
from undercroft.cli.main import COMMANDS, main
from undercroft.cli.parser import Parser
from undercroft.clock import SystemClock
from undercroft.settings.sources import load
from undercroft.storage.engine import open_database
from undercroft.worker.handing_in import JobRows

PASSWORD: Final = "correct horse battery"
LINE: Final = '{"custom_id":"a","method":"POST","url":"/v1/chat/completions","body":{"model":"chat","messages":[]}}\n'

NO_CHANGE: Final = {
    "audit export", "audit list", "audit verify", "batches list", "batches show", "batches wait", "config check",
    "config import", "config schema", "config show", "deploy check", "deploy render", "doctor", "eval cases",
    "jobs dead", "jobs list", "jobs show", "jobs wait", "keys list", "ledger verify", "limits show", "models check",
    "models list",
    "new", "plan compare", "plan estimate", "plan instances", "plan optimize", "plan simulate", "plan verify",
    "prompts diff", "prompts list", "prompts render", "prompts show", "releases list", "releases status",
    "secrets list", "usage", "users list", "vectors bench", "vectors compare", "vectors search", "vectors tune",
    "versions diff", "versions list", "versions show", "webhooks list", "why",
}  # fmt: skip
"""They look, or write files that are asked for; nothing that an installation keeps is another afterwards."""
BOOKED: Final = {"eval run", "eval replay"}
"""They ask models, which the ledger has."""
SCHEMA: Final = {"migrate"}
"""Has a test of its own."""
RUNNING: Final = {"serve", "worker"}
"""They are the installation; what they are told to change is in the log by who told it."""
WHOLE: Final = {"backup", "restore"}
"""They copy an installation as it is, its log included: an entry of theirs would make the copy another."""
HOSTED: Final = {"deploy down", "deploy rollback", "deploy status", "deploy switch", "deploy up"}
"""Processes of this machine and where its traffic goes, which has a state and a log of its own beside them."""
FETCHED: Final = {"models pull"}
"""Files of ours beside the installation, whose hashes are known."""


@dataclass
class World:
    """An installation, and what has been made in it so far."""

    folder: Path
    receiver: str
    made: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Step:
    """A command that changes something."""

    words: Callable[[World], list[str]]
    stdin: str = ""
    keep: str = ""
    """The field of its answer that is an id which later steps name."""
    actions: tuple[str, ...] = ()
    """What the log calls it, where that is not the command's own name."""


def said(*words: str) -> Callable[[World], list[str]]:
    """Words in which `{name}` stands for what an earlier step has kept."""
    return lambda world: [word.format(**world.made, receiver=world.receiver) for word in words]


CHANGES: Final[dict[str, Step]] = {
    "keys create": Step(said("--name", "a"), keep="id", actions=("key.create",)),
    "keys rotate": Step(said("{keys create}"), actions=("key.rotate",)),
    "keys revoke": Step(said("{keys create}"), actions=("key.revoke",)),
    "limits set": Step(said("team", "search", "--budget", "1"), actions=("limits.set",)),
    "secrets set": Step(said("x"), stdin="sk-0123456789abcdef", actions=("secret.set",)),
    "secrets rotate": Step(said(), actions=("secret.rotate",)),
    "secrets delete": Step(said("x"), actions=("secret.delete",)),
    "users create": Step(said("ada"), stdin=PASSWORD, actions=("account.create",)),
    "users password": Step(said("ada"), stdin=PASSWORD, actions=("account.change",)),
    "users role": Step(said("ada", "operator"), actions=("account.change",)),
    "users disable": Step(said("ada"), actions=("account.change",)),
    "users enable": Step(said("ada"), actions=("account.change",)),
    "webhooks create": Step(said("{receiver}"), keep="id", actions=("webhook.create",)),
    "webhooks replay": Step(said("{webhooks create}", "--since", "1d"), actions=("webhook.replay",)),
    "webhooks test": Step(said("{webhooks create}"), actions=("webhook.test",)),
    "webhooks job-secret": Step(said(), actions=("webhook.job_secret",)),
    "webhooks delete": Step(said("{webhooks create}"), actions=("webhook.delete",)),
    "prompts create": Step(said("greeting", "greeting.yaml"), actions=("version.create",)),
    "prompts label": Step(said("greeting", "staging", "latest"), actions=("version.label",)),
    "prompts unlabel": Step(said("greeting", "staging"), actions=("version.unlabel",)),
    "prompts sync": Step(said("--folder", "kept"), actions=("version.sync",)),
    "versions create": Step(said("model", "answers", "model.yaml"), actions=("version.create",)),
    "versions label": Step(said("model", "answers", "staging", "latest"), actions=("version.label",)),
    "versions unlabel": Step(said("model", "answers", "staging"), actions=("version.unlabel",)),
    "versions sync": Step(said("--folder", "kept-too"), actions=("version.sync",)),
    "releases create": Step(said("support", "--model", "answers@latest"), keep="id", actions=("release.create",)),
    "releases promote": Step(said("{releases create}"), actions=("release.promoted",)),
    "releases start": Step(said("{second}", "--strategy", "canary"), actions=("release.started",)),
    "releases pause": Step(said("support"), actions=("release.paused",)),
    "releases resume": Step(said("support"), actions=("release.resumed",)),
    "releases rollback": Step(said("support"), actions=("release.rolled_back",)),
    "jobs cancel": Step(said("{job}"), actions=("job.cancel",)),
    "jobs retry": Step(said("{job}"), actions=("job.retry",)),
    "batches create": Step(
        said("lines.jsonl", "--endpoint", "/v1/chat/completions"), keep="id", actions=("batch.create",)
    ),
    "batches cancel": Step(said("{batches create}"), actions=("batch.cancel",)),
    "vectors create": Step(said("notes", "--dim", "2")),
    "vectors import": Step(said("notes", "points.jsonl")),
    "vectors copy": Step(said("notes", "--from", "embedded", "--to", "embedded", "--as", "again")),
    "vectors ingest": Step(said("taken-in.md", "--collection", "files")),
    "vectors forget": Step(said("taken-in.md", "--collection", "files")),
}


def commands() -> Iterator[str]:
    """Every command with each of its actions: `keys create`, `doctor`."""
    for name, (module, _) in COMMANDS.items():
        command = import_module(module)
        parser = Parser.for_command(name, command.HELP)
        command.arguments(parser)
        actions = actions_of(parser)
        yield from (f"{name} {action}" for action in actions)
        if not actions:
            yield name


def actions_of(parser: ArgumentParser) -> list[str]:
    for each in parser._actions:
        if isinstance(each, _SubParsersAction):
            return list(each.choices)
        if each.dest == "action" and each.choices:
            return list(each.choices)
    return []


def test_every_command_is_known_to_change_something_or_not_to() -> None:
    kinds = [NO_CHANGE, BOOKED, SCHEMA, RUNNING, WHOLE, HOSTED, FETCHED, set(CHANGES)]
    known = set().union(*kinds)
    assert sum(len(kind) for kind in kinds) == len(known), "none is two things"
    assert set(commands()) == known, "a new command is added to one of these lists, and to the log if it changes things"


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    monkeypatch.chdir(tmp_path)
    for name in ("DATABASE_URL", "UNDERCROFT_CONFIG", "ENCRYPTION_KEY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("UNDERCROFT_MODELS_DIR", str(weights().folder))
    written = {
        "undercroft.toml": ALLOWED,
        "greeting.yaml": "messages:\n  - role: user\n    content: hi\n",
        "model.yaml": "target: chat\n",
        "other.yaml": "target: other\n",
        "lines.jsonl": LINE,
        "points.jsonl": '{"id": "a", "vector": [1, 2]}\n',
        "taken-in.md": "# Hours\n\nThe archive is open on Mondays.\n",
        "kept/prompts/parting.yaml": "messages:\n  - role: user\n    content: bye\n",
        "kept-too/prompts/leaving.yaml": "messages:\n  - role: user\n    content: goodbye\n",
    }
    for name, text in written.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    with receiving() as receiver:
        yield World(tmp_path, receiver.url)


def typed(step: Step, name: str, world: World, capsys: pytest.CaptureFixture[str], stdin: Any) -> Any:
    """Types a command; what it answers."""
    stdin.setattr("sys.stdin", io.StringIO(step.stdin))
    arguments = [*name.split(), *step.words(world), "--json"]
    code = main(arguments)
    printed = capsys.readouterr()
    assert code == 0, (arguments, printed.err)
    return msgspec.json.decode(printed.out)


def entries(folder: Path) -> list[Entry]:
    """The log, oldest first; it must be whole."""
    database = open_database(None, data_dir=folder / ".undercroft", pool_size=1, clock=SystemClock())
    try:
        assert database.read_sync(verify).fault == ""
        found = database.read_sync(partial(entries_of, organisation="default", limit=500))
    finally:
        database.close()
    return list(reversed(found))


def test_every_command_that_changes_something_leaves_an_entry(
    world: World, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, step in CHANGES.items():
        prepare(name, world, capsys)
        seen = len(entries(world.folder))
        answered = typed(step, name, world, capsys, monkeypatch)
        if step.keep:
            world.made[name] = answered[step.keep]
        fresh = entries(world.folder)[seen:]
        assert [entry.action for entry in fresh] == list(step.actions or (name.replace(" ", "."),)), name
        assert all(entry.actor.startswith("command line, ") for entry in fresh)
    text = "".join(entry.details for entry in entries(world.folder))
    assert PASSWORD not in text
    assert "sk-0123456789abcdef" not in text


def prepare(name: str, world: World, capsys: pytest.CaptureFixture[str]) -> None:
    """What some of them need beforehand."""
    match name:
        case "jobs cancel":
            settings = load(config=None, environment={}, directory=world.folder).settings
            rows = JobRows(settings, clock=SystemClock())
            world.made["job"] = rows.hand_in("a-task", "hi", None, delay_s=3600).id
            rows.database.close()
        case "releases start":
            assert main(["versions", "create", "model", "answers", "other.yaml"]) == 0
            capsys.readouterr()
            assert main(["releases", "create", "support", "--model", "answers@latest", "--json"]) == 0
            world.made["second"] = msgspec.json.decode(capsys.readouterr().out)["id"]


def test_a_migration_is_the_first_entry_of_the_log_that_it_makes(world: World) -> None:
    assert main(["migrate"]) == 0
    (entry,) = entries(world.folder)
    assert (entry.action, '"before":{"revision":null}' in entry.details) == ("schema.migrate", True)
    assert main(["migrate"]) == 0
    assert len(entries(world.folder)) == 1, "nothing was changed"
