"""Which reader a file gets, and how long and how much it may read. What it says is in `types.Document`."""

import asyncio
import subprocess
import sys
from pathlib import PurePath
from typing import Final, Literal, Protocol

import msgspec

from undercroft.vectors.ingestion.types import Document, Unreadable, UnsupportedFormat

Format = Literal["text", "markdown", "html", "pdf", "docx", "csv", "jsonl", "json", "code"]

MOST_BYTES: Final = 64_000_000
"""Of a file."""


class Bounds(msgspec.Struct, frozen=True, kw_only=True):
    """What reading one file may take."""

    characters: int = 20_000_000
    """Of its text: what is packed may come out a thousand times as large."""
    seconds: int = 120
    memory_bytes: int = 2_000_000_000
    """Address space of the process that reads it, which is more than what is used."""


USUAL: Final = Bounds()
_BY_ENDING: Final[dict[str, Format]] = {
    **dict.fromkeys(("txt", "text", "log", "rst", "tex", ""), "text"),
    **dict.fromkeys(("md", "markdown", "mdx"), "markdown"),
    **dict.fromkeys(("html", "htm", "xhtml"), "html"),
    "pdf": "pdf",
    "docx": "docx",
    **dict.fromkeys(("csv", "tsv"), "csv"),
    **dict.fromkeys(("jsonl", "ndjson"), "jsonl"),
    "json": "json",
    **dict.fromkeys(("py", "pyi", "js", "mjs", "cjs", "ts", "tsx", "jsx", "vue", "svelte", "css", "scss"), "code"),
    **dict.fromkeys(("java", "kt", "kts", "scala", "gradle", "c", "h", "cc", "cpp", "cxx", "hpp", "cs", "m"), "code"),
    **dict.fromkeys(("go", "rs", "rb", "php", "swift", "dart", "lua", "pl", "r", "jl", "ex", "exs", "erl"), "code"),
    **dict.fromkeys(("hs", "ml", "clj", "sh", "bash", "zsh", "ps1", "sql", "graphql", "proto", "tf"), "code"),
    **dict.fromkeys(("toml", "yaml", "yml", "ini", "cfg", "xml", "dockerfile", "makefile"), "code"),
}
ENDINGS: Final = frozenset(_BY_ENDING) - {""}
APART: Final = frozenset(("html", "pdf", "docx"))
"""Formats that are read in a process of their own: a file can make their parsers run on, or take all memory."""


class Reader(Protocol):
    """Reads one format. Raises Unreadable for a file that is none."""

    def __call__(self, content: bytes, /) -> Document: ...


def format_of(name: str) -> Format:
    """By the file's ending. Raises UnsupportedFormat."""
    path = PurePath(name.lower())
    ending = path.suffix.removeprefix(".") or (path.name if path.name in ("dockerfile", "makefile") else "")
    known = _BY_ENDING.get(ending)
    if known is None:
        hint = f"There are readers for: {', '.join(sorted(ENDINGS))}."
        raise UnsupportedFormat(f"There is no reader for '.{ending[:20]}' files.", hint=hint)
    return known


async def read(name: str, content: bytes, *, bounds: Bounds = USUAL) -> Document:
    """The file's text. Raises Unreadable, also for one that takes too long or too much, and for an empty one."""
    kind = format_of(name)
    if len(content) > MOST_BYTES:
        raise Unreadable(f"The file has {len(content)} bytes; {MOST_BYTES} are read.", hint="Split it.")
    if kind in APART:
        document = await _read_apart(kind, content, bounds)
    else:
        document = await asyncio.to_thread(read_here, kind, content, bounds)
    if not document.text.strip():
        hint = "Scanned pages need text recognition first." if kind == "pdf" else None
        raise Unreadable("There is no text in the file.", hint=hint)
    return document


def read_here(kind: Format, content: bytes, bounds: Bounds) -> Document:
    """The same in this process, with nothing but its size to hold it."""
    document = _reader(kind)(content)
    if len(document.text) > bounds.characters:
        raise Unreadable(f"The file holds more than {bounds.characters} characters of text.", hint="Split it.")
    return document


def _reader(kind: Format) -> Reader:
    from undercroft.vectors.ingestion.readers import code, docx, html, markdown, pdf, tables, text

    readers: dict[Format, Reader] = {
        "text": text.read,
        "markdown": markdown.read,
        "html": html.read,
        "pdf": pdf.read,
        "docx": docx.read,
        "csv": tables.read_csv,
        "jsonl": tables.read_jsonl,
        "json": tables.read_json,
        "code": code.read,
    }
    return readers[kind]


class Answer(msgspec.Struct):
    """What the reading process says: a document, or why there is none."""

    document: Document | None = None
    error: str = ""
    hint: str | None = None


_answers = msgspec.json.Decoder(Answer)


async def _read_apart(kind: Format, content: bytes, bounds: Bounds) -> Document:
    process = await asyncio.create_subprocess_exec(
        *(
            sys.executable,
            "-m",
            "undercroft.vectors.ingestion.reading_process",
            kind,
            msgspec.json.encode(bounds).decode(),
        ),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )
    try:
        async with asyncio.timeout(bounds.seconds):
            said, _ = await process.communicate(content)
    except TimeoutError as error:
        raise Unreadable(f"Reading the file took longer than {bounds.seconds} s.") from error
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    if process.returncode != 0:
        raise Unreadable(
            "Reading the file broke off: it takes too much memory or time, or its reader cannot bear it.",
            hint="Save it anew with another program, or as plain text.",
        )
    answer = _answers.decode(said)
    if answer.document is None:
        raise Unreadable(answer.error, hint=answer.hint)
    return answer.document
