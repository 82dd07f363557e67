import asyncio

import pytest

from tests.support.ingestion import docx, pdf, zipped
from undercroft.vectors.ingestion import reader
from undercroft.vectors.ingestion.readers import docx as docx_reader
from undercroft.vectors.ingestion.types import Document, Unreadable, UnsupportedFormat


def read(name: str, content: bytes | str) -> Document:
    return asyncio.run(reader.read(name, content.encode() if isinstance(content, str) else content))


def parts(document: Document) -> list[tuple[str, str]]:
    ends = [*(mark.start for mark in document.marks[1:]), len(document.text)]
    return [
        (mark.title, document.text[mark.start : end].strip()) for mark, end in zip(document.marks, ends, strict=True)
    ]


def test_markdown_has_a_part_for_each_heading() -> None:
    text = "---\ntitle: x\n---\nbefore\n# A\none\n## B ##\n```\n# no heading\n```\n# C\ntwo\n"
    assert parts(read("a.md", text)) == [
        ("", "before"), ("A", "one"), ("A > B", "```\n# no heading\n```"), ("C", "two"),
    ]  # fmt: skip


def test_html_is_what_a_reader_sees() -> None:
    page = (
        "<html><head><title>T</title><style>p{}</style></head><body><h1>One <b>two</b></h1><p>a &amp; b"
        "<script>alert(1)</script></p><table><tr><td>x</td><td>y</td></tr></table><h2>Three</h2><pre>k\n  l</pre>"
    )
    assert parts(read("a.html", page)) == [("One two", "a & b\nx | y"), ("One two > Three", "k\n  l")]


def test_a_word_document_has_headings_and_tables() -> None:
    content = docx(("Title", "Report"), ("", "Costs fell."), ("Heading2", "Details"), table=[["a", "1"], ["b", "2"]])
    assert parts(read("a.docx", content)) == [("Report", "Costs fell."), ("Report > Details", "a | 1\nb | 2")]


def test_a_pdf_has_a_part_for_each_page() -> None:
    document = read("a.pdf", pdf("The first page", "The second page"))
    assert [(mark.page, part) for mark, (_, part) in zip(document.marks, parts(document), strict=True)] == [
        (1, "The first page"), (2, "The second page"),
    ]  # fmt: skip


def test_rows_say_their_columns() -> None:
    assert parts(read("a.csv", "name;age\nAda;36\nBob;\n")) == [("", "name: Ada\nage: 36"), ("", "name: Bob")]
    assert parts(read("a.jsonl", '{"a": {"b": 1}, "t": ["x", "y"]}\n\n"plain"\n')) == [
        ("", "a.b: 1\nt: x\nt: y"), ("", "plain"),
    ]  # fmt: skip
    assert parts(read("a.json", '[{"a": 1}, {"a": true}]')) == [("", "a: 1"), ("", "a: true")]


def test_code_has_a_part_for_each_block() -> None:
    code = "import os\n\n\n@cached\ndef one():\n    pass\n\n    return 1\n\n\nclass Two:\n    x = 1\n"
    assert parts(read("a.py", code)) == [
        ("import os", "import os"),
        ("def one():", "@cached\ndef one():\n    pass\n\n    return 1"),
        ("class Two:", "class Two:\n    x = 1"),
    ]


@pytest.mark.parametrize(
    "content",
    ["größe".encode(), "größe".encode("utf-8-sig"), "größe".encode("utf-16"), "größe".encode("cp1252")],
)
def test_text_is_read_in_its_likely_encoding(content: bytes) -> None:
    assert read("a.txt", content).text == "größe"


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("a.txt", b"\0\1\2", "no text"),
        ("a.md", b"  \n ", "no text in the file"),
        ("a.pdf", b"%PDF-1.4 broken", "no PDF"),
        ("a.docx", b"PK\3\4 broken", "no Word document"),
        ("a.docx", zipped("other.xml", "<a/>"), "no Word document"),
        ("a.docx", zipped("word/document.xml", "<a"), "XML is broken"),
        ("a.docx", zipped("word/document.xml", '<!DOCTYPE a [<!ENTITY b "c">]><a>&b;</a>'), "entities"),
        ("a.jsonl", b'{"a": 1}\n{"a"', "Line 2"),
        ("a.json", b"[" * 5000, "no JSON"),
        ("a.html", b"<script>only</script>", "no text"),
    ],
)
def test_a_file_that_cannot_be_read_says_why(name: str, content: bytes, says: str) -> None:
    with pytest.raises(Unreadable, match=says):
        read(name, content)


def test_an_unknown_kind_is_refused_by_its_ending() -> None:
    with pytest.raises(UnsupportedFormat, match=r"'\.exe'"):
        read("a.exe", b"MZ")
    assert reader.format_of("Dockerfile") == "code"
    assert reader.format_of("LICENSE") == "text"


def test_a_document_that_unpacks_without_end_is_refused() -> None:
    bomb = zipped("word/document.xml", " " * 2_000_000)
    assert len(bomb) < 10_000
    with pytest.raises(Unreadable, match="unpacks to more"):
        docx_reader.read(bomb, most_bytes=1_000_000)


def test_a_file_that_takes_all_memory_fails_alone() -> None:
    bounds = reader.Bounds(memory_bytes=150_000_000)
    with pytest.raises(Unreadable, match="broke off"):
        asyncio.run(reader.read("a.html", b"x" * 60_000_000, bounds=bounds))


def test_a_file_that_takes_too_long_fails_alone() -> None:
    with pytest.raises(Unreadable, match=r"longer than 0 s|broke off"):
        asyncio.run(reader.read("a.html", b"<p>word", bounds=reader.Bounds(seconds=0)))


def test_a_text_that_is_too_long_is_refused() -> None:
    for name in ("a.txt", "a.html"):
        with pytest.raises(Unreadable, match="more than 10 characters"):
            asyncio.run(reader.read(name, b"word " * 10, bounds=reader.Bounds(characters=10)))
