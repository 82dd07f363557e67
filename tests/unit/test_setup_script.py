"""The set-up script's deciding parts; tests/integration/test_setup_script.py lets it work."""

import ast
import importlib.util
import subprocess
from pathlib import Path
from types import ModuleType

import pytest

SCRIPT = Path(__file__).parents[2] / "scripts" / "setup.py"


@pytest.fixture(scope="module")
def script() -> ModuleType:
    spec = importlib.util.spec_from_file_location("setup_script", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_an_old_python_can_parse_the_script_and_run_it_up_to_the_version_check() -> None:
    tree = ast.parse(SCRIPT.read_text(), feature_version=(3, 6))

    check = next(index for index, node in enumerate(tree.body) if isinstance(node, ast.If))
    before = [node for node in tree.body[:check] if isinstance(node, ast.Import | ast.ImportFrom)]
    names = {name.name for node in before for name in node.names}
    assert names == {"os", "shutil", "subprocess", "sys", "Path"}, "these are in 3.6 and on every system"


def test_uv_is_told_what_the_machine_told_pip(script: ModuleType) -> None:
    config = r"""
:env:.cert='/etc/our.pem'
:env:.find-links='/wheels /more-wheels'
global.extra-index-url='\nhttp://a.test/simple\nhttp://b.test/simple'
global.find-links='/only-in-the-file'
global.index-url='http://mirror.test/simple'
global.timeout='60'
install.trusted-host='mirror.test'
"""

    assert script.uv_settings(config) == {
        "UV_INDEX_STRATEGY": "unsafe-best-match",
        "UV_DEFAULT_INDEX": "http://mirror.test/simple",
        "UV_INDEX": "http://a.test/simple http://b.test/simple",
        "UV_FIND_LINKS": "/wheels,/more-wheels",
        "UV_HTTP_TIMEOUT": "60",
        "UV_INSECURE_HOST": "mirror.test",
        "SSL_CERT_FILE": "/etc/our.pem",
    }


def test_pips_settings_for_other_commands_are_not_handed_on(script: ModuleType) -> None:
    config = "download.index-url='http://other.test'\n:env:.disable-pip-version-check='1'\nfreeze.find-links='/x'"

    assert script.uv_settings(config) == {"UV_INDEX_STRATEGY": "unsafe-best-match"}


@pytest.mark.parametrize(
    ("output", "line"),
    [
        (
            "Collecting a\nERROR: No matching distribution found for a\n\n[notice] A new pip\n",
            "No matching distribution",
        ),
        ("error: Failed to fetch `a`\n  cause: certificate expired\n", "cause: certificate expired"),
        ("WARNING: connection broken by 'X'\nERROR: No matching distribution found for a", "no package index could be"),
        ("Killed\n", "Killed"),
        ("", "it said nothing"),
    ],
)
def test_the_error_line_is_the_one_that_says_why(script: ModuleType, output: str, line: str) -> None:
    assert line in script.last_words(output)


def test_the_command_finds_its_python_in_a_folder_with_any_name(script: ModuleType, tmp_path: Path) -> None:
    folder = tmp_path / 'it\'s a "ü" $HOME'
    folder.mkdir()
    python, command = folder / "python", folder / "undercroft"
    python.write_text('#!/bin/sh\nprintf "%s|" "$@"')
    command.write_text(script.launcher(python))
    python.chmod(0o755)
    command.chmod(0o755)

    said = subprocess.run([command, "usage", "--since", "two words"], capture_output=True, text=True, check=True).stdout

    assert said == "-P|-m|undercroft|usage|--since|two words|"


def test_an_environment_is_complete_only_while_what_it_was_made_from_stays_the_same(
    script: ModuleType, tmp_path: Path
) -> None:
    (tmp_path / "requirements").mkdir()
    for name in ("uv", "run", "dev"):
        (tmp_path / "requirements" / f"{name}.txt").write_text(name)
    (tmp_path / "scripts").mkdir()
    (tmp_path / "scripts" / "setup.py").write_text("the script")
    environment = script.Environment(tmp_path, variables={})
    environment.python.parent.mkdir(parents=True)
    environment.python.symlink_to("/bin/sh")
    assert not environment.has("run")
    environment._mark("run").write_text(environment._fingerprint("run"))
    assert environment.has("run")

    (tmp_path / "requirements" / "dev.txt").write_text("a new tool")
    assert environment.has("run"), "what only tests need does not matter to the server"

    environment.python.unlink()
    environment.python.symlink_to("/bin/cat")
    assert not environment.has("run"), "another Python stands underneath"
