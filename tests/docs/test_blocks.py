"""Every block of README and docs is run, compared, checked, or reported as not run: documentation that cannot lie."""

import collections
import importlib.metadata
import json
import re
import shlex
import subprocess
from pathlib import Path
from types import ModuleType

import pytest

from tests.support.checkout import ROOT
from tests.support.documents import Action, Block, action_of, blocks_of, pages
from tests.support.reader import Reader, environment_for, what_is_missing
from undercroft.cli.main import COMMANDS
from undercroft.settings.sources import load

PAGES = pages()
BLOCKS = [block for page in PAGES for block in blocks_of(page)]
TARGETS = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))


def of(action: Action) -> list[Block]:
    return [block for block in BLOCKS if action_of(block) is action]


def test_there_is_a_rule_for_every_block() -> None:
    counts = collections.Counter(action.value for block in BLOCKS if (action := action_of(block)))
    print("\n" + ", ".join(f"{count} {what}" for what, count in counts.most_common()))

    assert [str(block) for block in BLOCKS if action_of(block) is None] == []
    assert counts[Action.RUN.value] > counts[Action.NOT_RUN.value], "most of what the docs show is run"


def followed(page: Path) -> list[Block]:
    return [block for block in blocks_of(page) if action_of(block) in (Action.RUN, Action.START, Action.COMPARE)]


@pytest.mark.parametrize("page", [page for page in PAGES if followed(page)], ids=str)
def test_a_reader_who_follows_the_page_sees_what_it_says(
    page: Path, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    blocks = blocks_of(page)
    if reason := what_is_missing():
        pytest.skip(f"not run: {len(followed(page))} blocks of {page}: {reason}")
    wants_postgresql = any("postgresql://" in block.text for block in blocks)
    wants_redis = any("redis://" in block.text for block in blocks)
    reader = Reader(
        tmp_path,
        database_url=request.getfixturevalue("postgres_url") if wants_postgresql else "",
        broker_url=request.getfixturevalue("redis_url") if wants_redis else "",
    )
    try:
        for block in blocks:
            reader.follow(block)
    finally:
        reader.close()


@pytest.mark.parametrize("block", of(Action.CHECK), ids=str)
def test_what_is_not_a_program_is_right(block: Block, tmp_path: Path) -> None:
    match block.language:
        case "json":
            json.loads(block.text)
        case "toml":
            (tmp_path / "undercroft.toml").write_text(block.text, "utf-8")
            load(config=None, environment=environment_for(block.text), directory=tmp_path)
        case _:
            check_commands(block)


@pytest.mark.parametrize("block", of(Action.START), ids=str)
def test_a_server_is_started_by_a_command_that_there_is(block: Block) -> None:
    check_commands(block)


@pytest.mark.parametrize("block", of(Action.NOT_RUN), ids=str)
def test_what_is_not_run_can_at_least_be_read(block: Block, reference: ModuleType) -> None:
    if block.language == "python":
        compile(block.text, str(block), "exec")
    else:
        read = subprocess.run(["bash", "-n", "-c", block.text], capture_output=True, text=True, check=False)
        assert read.returncode == 0, f"{block}: {read.stderr}"
        for command in block.commands:
            if command.startswith("undercroft "):
                parse(command, reference)
    pytest.skip(f"not run: {block}: {block.order.removeprefix('not, ')}")


def check_commands(block: Block) -> None:
    """Make targets exist, and packages that are to be installed are those that the tests run with."""
    for command in block.commands:
        program, *words = command.split()
        if program == "make":
            assert words[0] in TARGETS, f"{block}: there is no target {words[0]}"
        elif program == "pip":
            assert importlib.metadata.version(words[-1]), f"{block}: {words[-1]} is not what tests run with"
        elif program == "python3":
            assert (ROOT / words[0]).is_file(), f"{block}: there is no {words[0]}"


def parse(command: str, reference: ModuleType) -> None:
    """Raises InvalidRequest where the command line does not take it."""
    words = shlex.split(re.split(" [<>] ", command)[0])
    reference.parser_of(words[1]).parse_args(words[2:])


def test_every_example_of_a_command_is_understood_by_its_parser(reference: ModuleType) -> None:
    for example in reference.examples():
        parse(example, reference)


@pytest.mark.parametrize("page", PAGES, ids=str)
def test_commands_and_targets_in_running_text_exist(page: Path) -> None:
    prose = re.sub(r"^( *)(```+).*?^\1\2 *$", "", (ROOT / page).read_text("utf-8"), flags=re.DOTALL | re.MULTILINE)
    named = re.findall(r"`(?:\.venv/bin/)?undercroft ([a-z]+)", prose)
    targets = re.findall(r"`make ([a-z-]+)", prose)

    assert set(named) <= COMMANDS.keys()
    assert set(targets) <= TARGETS
