from collections.abc import Sequence
from pathlib import Path

import pytest

from undercroft.errors import Conflict, InvalidRequest
from undercroft.versions.content import Content, Kind, ModelContent, PromptContent, PromptMessage, Version, digest_of
from undercroft.versions.folder import Filed, read_folder, sync


class Stored:
    """The database's side."""

    def __init__(self) -> None:
        self.heads: dict[tuple[str, str], Version] = {}

    def put(self, name: str, content: Content, labels: Sequence[str] = ()) -> None:
        kind: Kind = "prompt" if isinstance(content, PromptContent) else "model"
        self.heads[kind, name] = Version(
            organisation="default",
            kind=kind,
            name=name,
            digest=digest_of(kind, content),
            content=content,
            labels=tuple(labels),
        )

    def store(self, filed: Filed) -> Version:
        self.put(filed.name, filed.content, filed.labels)
        return self.heads[filed.kind, filed.name]

    def sync(self, folder: Path) -> list[str]:
        steps = sync(folder, list(self.heads.values()), store=self.store)
        return [f"{step.name} {step.change}" for step in steps]


def prompt(text: str) -> PromptContent:
    return PromptContent(messages=(PromptMessage(role="system", content=text),))


def test_a_file_becomes_a_version_and_a_version_a_file(tmp_path: Path) -> None:
    stored = Stored()
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / "chat.json").write_text('{"target": "big", "labels": ["production"]}')
    stored.put("team/greeting", prompt("Be kind.\nBe short."))

    assert stored.sync(tmp_path) == ["chat stored", "team/greeting written"]
    assert stored.heads["model", "chat"].labels == ("production",)
    assert (tmp_path / "prompts" / "team" / "greeting.yaml").read_text() == (
        "labels: []\nmessages:\n- role: system\n  content: |-\n    Be kind.\n    Be short.\n"
    )
    assert stored.sync(tmp_path) == ["chat same", "team/greeting same"]


def test_the_side_that_has_moved_wins(tmp_path: Path) -> None:
    stored = Stored()
    stored.put("chat", ModelContent(target="a"))
    stored.put("other", ModelContent(target="a"))
    stored.sync(tmp_path)

    (tmp_path / "models" / "chat.yaml").write_text("target: from the file\n")
    stored.put("other", ModelContent(target="from the database"), ["production"])

    assert stored.sync(tmp_path) == ["chat stored", "other written"]
    assert stored.heads["model", "chat"].content == ModelContent(target="from the file")
    assert [(filed.name, filed.content, filed.labels) for filed in read_folder(tmp_path)] == [
        ("chat", ModelContent(target="from the file"), ()),
        ("other", ModelContent(target="from the database"), ("production",)),
    ]


def test_going_back_to_an_older_content_is_a_change_like_any_other(tmp_path: Path) -> None:
    stored = Stored()
    stored.put("chat", ModelContent(target="a"))
    stored.sync(tmp_path)
    stored.put("chat", ModelContent(target="b"))
    stored.sync(tmp_path)

    (tmp_path / "models" / "chat.yaml").write_text("target: a\n")

    assert stored.sync(tmp_path) == ["chat stored"]
    assert stored.heads["model", "chat"].content == ModelContent(target="a")


def test_where_both_sides_have_moved_nothing_is_done(tmp_path: Path) -> None:
    stored = Stored()
    stored.put("chat", ModelContent(target="a"))
    stored.put("other", ModelContent(target="a"))
    stored.sync(tmp_path)
    (tmp_path / "models" / "chat.yaml").write_text("target: mine\n")
    (tmp_path / "models" / "other.yaml").write_text("target: also mine\n")
    stored.put("chat", ModelContent(target="theirs"))

    with pytest.raises(Conflict, match=r"models/chat\.yaml"):
        stored.sync(tmp_path)

    assert stored.heads["model", "other"].content == ModelContent(target="a")


@pytest.mark.parametrize("text", ["target: [", "- a list", "aim: chat\n", "target: x\nlabels: production\n"])
def test_a_file_that_cannot_be_used_is_named(tmp_path: Path, text: str) -> None:
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / "chat.yaml").write_text(text)

    with pytest.raises(InvalidRequest, match=r"chat\.yaml"):
        Stored().sync(tmp_path)
