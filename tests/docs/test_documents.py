"""The runner itself: it overlooks nothing, believes nothing, and says where."""

from pathlib import Path

import pytest

from tests.support.documents import Action, Block, action_of, differs, parse
from tests.support.reader import Reader

PAGE = Path("docs/made-up.md")


def block(language: str, text: str = "true\n", order: str = "", title: str = "") -> Block:
    return Block(PAGE, 7, language, text, title, order)


def test_every_fence_is_found_with_its_line_order_and_title() -> None:
    page = """# Page
<!-- run: output -->

```json
{}
```

- in a list:

  ~~~toml title="undercroft.toml"
  [server]
  ~~~

<!-- run: stopped -->
Text between a comment and a block parts them.
````text
```
````
"""

    assert parse(page, PAGE) == [
        Block(PAGE, 4, "json", "{}\n", order="output"),
        Block(PAGE, 10, "toml", "[server]\n", title="undercroft.toml"),
        Block(PAGE, 16, "text", "```\n"),
    ]


def test_a_block_without_an_end_is_an_error_with_its_line() -> None:
    with pytest.raises(AssertionError, match=r"docs/made-up\.md:2: this block has no end"):
        parse("text\n```bash\ntrue\n", PAGE)


@pytest.mark.parametrize(
    ("given", "action"),
    [
        (block("bash", "curl http://127.0.0.1:8000/health\n"), Action.RUN),
        (block("bash", "export A=1\nmake run  # takes a minute\n"), Action.START),
        (block("sh", "git clone X && cd X\nmake run\nmake test\n"), Action.CHECK),
        (block("sh", "make test\ncurl http://127.0.0.1:8000/\n"), Action.RUN),
        (block("python", order="not, it needs a key"), Action.NOT_RUN),
        (block("text", order="output"), Action.COMPARE),
        (block("text"), Action.READ),
        (block("bash", order="later"), None),
        (block("bash", order="output"), None),
        (block("yaml"), None),
        (block(""), None),
    ],
)
def test_what_is_done_with_a_block(given: Block, action: Action | None) -> None:
    assert action_of(given) is action


@pytest.mark.parametrize(
    ("expected", "printed", "is_right"),
    [
        ("a  b\n", "a  b\n\n", True),
        ("a  b\n", "a b\n", False),
        ("a …\n", "a b c\n", True),
        ("a …\n", "a b\nc\n", False),
        ("…\nb\n", "a\na\nb\n", True),
        ("…\nb\n", "b\n", True),
        ("a.c\n", "abc\n", False),
    ],
)
def test_text_is_compared_line_by_line(expected: str, printed: str, is_right: bool) -> None:
    assert (differs(block("text", expected), printed) == "") is is_right


@pytest.mark.parametrize(
    ("expected", "printed", "complaint"),
    [
        ('{"a": 1}', '{"a":1}', ""),
        ('{"a": 1}', '{"a":2}', ".a: is 2"),
        ('{"a": 1}', '{"a":true}', ".a: is True"),
        ('{"a": "…"}', '{"a":{"b":2}}', ""),
        ('{"a": "id-…"}', '{"a":"id-7"}', ""),
        ('{"a": "id-…"}', '{"a":"7"}', ".a: is '7'"),
        ('{"a": 1}', '{"a":1,"b":2}', ".: lacks [], and has ['b'] besides"),
        ('{"a": 1, "…": "…"}', '{"b":2}', ".: lacks ['a'], and has [] besides"),
        ('{"a": 1, "…": "…"}', '{"a":1,"b":2}', ""),
        ('[{"a": 1}]', '[{"a":1},{"a":2}]', ": is [{'a': 1}, {'a': 2}]"),
        ('[{"a": 1}, "…"]', '[{"a":1},{"a":2}]', ""),
        ('[1, 2, "…"]', "[1]", ": is [1]"),
    ],
)
def test_json_is_compared_by_its_values(expected: str, printed: str, complaint: str) -> None:
    assert differs(block("json", expected), printed) == complaint


@pytest.mark.parametrize(
    ("steps", "complaint"),
    [
        ([block("bash", "echo out; false\n")], r"docs/made-up\.md:7: ended with 1:\nout"),
        ([block("bash", "echo a\n"), block("text", "b\n", order="output")], r"docs/made-up\.md:7: printed was:\na"),
        ([block("python", "print(1 / 0)\n")], r"docs/made-up\.md:7: ended with 1:(.|\n)*ZeroDivisionError"),
        ([block("bash", "undercroft serve --prot 1\n")], r"docs/made-up\.md:7: the server ended with 2: .*--prot"),
    ],
)
def test_a_block_that_fails_names_its_file_and_line(steps: list[Block], complaint: str, tmp_path: Path) -> None:
    reader = Reader(tmp_path)
    *before, last = steps
    for step in before:
        reader.follow(step)

    with pytest.raises(AssertionError, match=complaint):
        reader.follow(last)


def test_a_titled_block_is_a_file_of_the_folder(tmp_path: Path) -> None:
    reader = Reader(tmp_path)

    reader.follow(block("toml", "[server]\nport = 8001\n", title="undercroft.toml"))
    reader.follow(block("bash", "unset PORT; undercroft config show | grep server.port\n"))
    reader.follow(block("text", "server.port …8001 …undercroft.toml:2…\n", order="output"))
