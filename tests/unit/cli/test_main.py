"""How commands are found and how they end."""

import importlib
import os
import signal
import statistics
import subprocess
import sys
import time
from pathlib import Path

import pytest

from undercroft import __version__
from undercroft.cli.main import COMMANDS, main, usage
from undercroft.errors import ConfigurationError, InvalidRequest, NotFound

PLAIN = {name: value for name, value in os.environ.items() if not name.startswith("UNDERCROFT_")}


def run(*arguments: str, directory: Path | None = None, **environment: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "undercroft", *arguments]
    return subprocess.run(command, cwd=directory, env=PLAIN | environment, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("arguments", [["--help"], ["-h"], []])
def test_help_is_shown_on_request_and_without_a_command(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments) == 0
    assert capsys.readouterr().out == usage()


def test_version_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"undercroft {__version__}\n"


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_a_help_with_an_example(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([name, "--help"]) == 0
    assert f"Example:\n  undercroft {name}" in capsys.readouterr().out


@pytest.mark.parametrize("name", COMMANDS)
def test_the_line_in_the_overview_is_how_the_commands_own_help_begins(name: str) -> None:
    module, line = COMMANDS[name]
    assert importlib.import_module(module).HELP.startswith(line.removesuffix("."))


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["confg"], "undercroft: there is no command 'confg'; did you mean 'config'?\n"),
        (["--hepl"], "undercroft: there is no option '--hepl'; did you mean '--help'?\n"),
        (["zzz"], "undercroft: there is no command 'zzz'; undercroft --help lists them.\n"),
        (["config", "chekc"], "invalid choice: 'chekc'"),
        (
            ["config", "check", "--zzz"],
            "undercroft: config: unrecognized arguments: --zzz (undercroft config --help)\n",
        ),
    ],
)
def test_bad_usage_is_one_line_and_exit_code_2(
    arguments: list[str], told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments) == 2
    shown = capsys.readouterr()
    assert told in shown.err
    assert (shown.out, shown.err.count("\n")) == ("", 1)


class Failing:
    """A command's module that ends in an error."""

    HELP = "Fails.  Example: undercroft fail"

    def __init__(self, error: BaseException) -> None:
        self._error = error

    def arguments(self, parser: object, /) -> None: ...

    def run(self, options: object, out: object, /) -> int:
        raise self._error


@pytest.mark.parametrize(
    ("error", "code", "told"),
    [
        (ConfigurationError("a:1: x\nb:2: y"), 2, "undercroft: a:1: x\nundercroft: b:2: y\n"),
        (InvalidRequest("no", hint="Do this."), 2, "undercroft: no Do this.\n"),
        (NotFound("gone"), 1, "undercroft: gone\n"),
        (
            ValueError("a\nb api_key=sk-abcdefgh12345678"),
            1,
            "undercroft: unexpected ValueError: a b api_key=[REDACTED] (UNDERCROFT_DEBUG=1 shows where)\n",
        ),
        (KeyboardInterrupt(), 130, ""),
    ],
)
def test_an_error_ends_with_its_code_and_no_traceback(
    error: BaseException, code: int, told: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "tests.failing_command", Failing(error))
    monkeypatch.setitem(COMMANDS, "fail", ("tests.failing_command", "Fails."))
    monkeypatch.delenv("UNDERCROFT_DEBUG", raising=False)
    assert main(["fail"]) == code
    assert capsys.readouterr().err == told


def test_debug_shows_where(tmp_path: Path) -> None:
    shown = run("config", "check", directory=tmp_path, UNDERCROFT_SERVER__PORT="x", UNDERCROFT_DEBUG="1")
    assert "Traceback" in shown.stderr
    assert "Traceback" not in run("config", "check", directory=tmp_path, UNDERCROFT_SERVER__PORT="x").stderr


def test_a_reader_that_leaves_early_is_no_error(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "undercroft", "config", "schema"]
    with subprocess.Popen(command, cwd=tmp_path, env=PLAIN, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        assert process.stderr.read() == b""
    assert process.returncode == 128 + signal.SIGPIPE


def test_help_imports_nothing_slow() -> None:
    code = "import sys; from undercroft.cli.main import main; main(['--help']); print(*sys.modules)"
    shown = subprocess.run([sys.executable, "-c", code], env=PLAIN, capture_output=True, text=True, check=True).stdout
    modules = shown.splitlines()[-1].split()
    assert not {"rich", "pydantic", "argparse", "importlib.metadata", "msgspec", "asyncio", "logging"}.intersection(
        modules
    )


def test_help_takes_little_longer_than_the_bare_interpreter() -> None:
    commands = {"bare": ["-c", "pass"], "help": ["-c", "from undercroft.cli.main import main; main(['--help'])"]}
    times: dict[str, list[float]] = {name: [] for name in commands}
    for _ in range(10):
        for name, command in commands.items():
            started = time.perf_counter()
            subprocess.run([sys.executable, *command], env=PLAIN, stdout=subprocess.DEVNULL, check=True)
            times[name].append(time.perf_counter() - started)
    # 2.1 is what was measured (medians of 25); tests run beside each other.
    assert statistics.median(times["help"]) < 6 * statistics.median(times["bare"])
