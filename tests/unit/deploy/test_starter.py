"""What a starter consists of, before it is written anywhere."""

import ast
import re
import tomllib

import pytest

from undercroft.deploy.starter import STARTERS, files_of, find, project_name
from undercroft.deploy.topology import Package
from undercroft.errors import InvalidRequest

WHEEL = Package("1.2.3", wheel="undercroft-1.2.3-py3-none-any.whl")


@pytest.fixture(params=STARTERS)
def files(request: pytest.FixtureRequest) -> dict[str, str]:
    return files_of(request.param, name="my-api", package=WHEEL)


def test_every_word_is_filled_in_and_every_hidden_file_is_hidden(files: dict[str, str]) -> None:
    assert not [path for path, text in files.items() if "@@" in text or "dot_" in path]
    assert {".env.example", ".gitignore", "README.md"} <= files.keys()
    assert any(path.startswith("requirements") for path in files)
    assert files["README.md"].startswith("# my-api\n")


def test_every_python_file_and_every_table_can_be_read(files: dict[str, str]) -> None:
    for path, text in files.items():
        if path.endswith(".py"):
            ast.parse(text, path)
        elif path.endswith(".toml"):
            tomllib.loads(text)


def test_secrets_and_data_stay_out_of_git(files: dict[str, str]) -> None:
    ignored = files[".gitignore"].split()

    assert {".env", ".undercroft/", "venv/"} <= set(ignored)
    assert "vendor/" not in ignored, "without its wheel a clone could not be installed"
    assert not re.search(r"^[A-Z_]+=.+$", files[".env.example"].replace("PORT=8000", ""), re.MULTILINE)


def test_the_simple_api_is_one_short_file() -> None:
    text = files_of("simple-api", name="x", package=WHEEL)["main.py"]

    assert len(text.splitlines()) <= 30
    names = [target.id for node in ast.parse(text).body if isinstance(node, ast.Assign) for target in node.targets]  # type: ignore[attr-defined]  # plain names
    assert "app" in names
    assert '__name__ == "__main__"' in text


def test_asking_ones_own_files_takes_one_short_file() -> None:
    assert len(files_of("simple-api", name="x", package=WHEEL)["ask.py"].splitlines()) <= 60


@pytest.mark.parametrize(
    ("package", "line"),
    [
        (WHEEL, "./vendor/undercroft-1.2.3-py3-none-any.whl[local,vectors]"),
        (Package("1.2.3"), "undercroft[local,vectors]==1.2.3"),
        (Package("1.2.3", url="https://example.test/u.whl"), "undercroft[local,vectors] @ https://example.test/u.whl"),
    ],
)
def test_requirements_name_where_undercroft_comes_from(package: Package, line: str) -> None:
    assert files_of("simple-api", name="x", package=package)["requirements.txt"] == f"{line}\n"


@pytest.mark.parametrize(
    ("folder", "name"),
    [("my-api", "my-api"), ("My API (2)", "my-api-2"), ("2nd", "nd"), ("日本", "ai-api"), ("a" * 80, "a" * 50)],
)
def test_a_folder_lends_its_name_as_far_as_docker_takes_it(folder: str, name: str) -> None:
    assert project_name(folder) == name


def test_an_unknown_starter_is_refused_with_those_there_are() -> None:
    with pytest.raises(InvalidRequest, match=r"simple-api.*did you mean 'simple-api'"):
        find("simple_api")
