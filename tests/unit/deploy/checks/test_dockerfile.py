"""What is said about a Dockerfile that somebody has edited."""

import pytest

from tests.unit.deploy.checks.conftest import Change, Checker
from undercroft.deploy.checks.dockerfile import Instruction, instructions

FILE = "Dockerfile"


def test_what_we_render_has_nothing_wrong_with_it(checked: Checker) -> None:
    assert checked("docker").findings == []


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ([(FILE, "python:3.11-slim", "python:latest")], "python:latest is tagged latest"),
        ([(FILE, "python:3.11-slim", "python")], "python has no tag"),
        ([(FILE, "USER 10001:10001\n", "")], "what it builds runs as root"),
        ([(FILE, "USER 10001:10001", "USER root")], "what it builds runs as root"),
        (
            [
                (FILE, "COPY manage.py healthcheck.py ./", "COPY . ."),
                (".dockerignore", "*\n", ""),
                (".dockerignore", ".env\n", ""),
            ],
            "copies everything",
        ),
        (
            [(FILE, "COPY --from=build /opt/undercroft /opt", "COPY --from=build /root/.local /root/.local")],
            "below /root",
        ),
        ([(FILE, "COPY manage.py", "COPY manages.py")], "copies manages.py, which is not there"),
        ([(FILE, "WORKDIR /app", "ENV OPENAI_API_KEY=sk-123")], "OPENAI_API_KEY is a secret, and every layer keeps it"),
    ],
)
def test_what_is_wrong_is_an_error(changes: list[Change], text: str, checked: Checker) -> None:
    report = checked("docker", *changes)

    assert not report.ok
    assert [each for each in report.findings if each.severity == "error" and text in each.text], report.findings


def test_continued_lines_are_one_instruction_with_its_first_line() -> None:
    assert instructions("# no\nFROM a\n\nRUN b \\\n  # why\n  && c\nUSER d\n") == [
        Instruction(2, "FROM a"),
        Instruction(4, "RUN b && c"),
        Instruction(7, "USER d"),
    ]
