"""100,000 embeddings of real passages with their texts, made once by the bundled model and kept.

Passages come from the documentation that lies on the machine (manuals, docstrings). As many as the bundled model
embeds in the time it is given are real; the rest lie between near neighbours of them, so that the whole is as hard to
search as real data, not as noise. The held-out queries are real.

usage: python -m benchmarks.vector_data [--real 50000]
"""

import argparse
import ast
import asyncio
import gzip
import html
import itertools
import json
import random
import re
import sys
import sysconfig
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from rich.progress import track

from undercroft.llm.types import EmbeddingsRequest
from undercroft.providers.local.embedder import LocalEmbedder

FOLDER: Final = Path(".undercroft/bench-vectors")
MODEL: Final = Path(sys.prefix) / "share/undercroft/models/minilm"
QUERIES: Final = 300
PASSAGE: Final = range(220, 420)
"""Characters of a passage, about."""
MOST_TOKENS: Final = 500
"""The model takes 512, two of which are its own."""
BATCH: Final = 64
OF_ONE_FILE: Final = 400

Matrix = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class DataSet:
    """Vectors of length 1, the passage of each, and queries that are none of them."""

    vectors: Matrix
    texts: Sequence[str]
    queries: Matrix
    questions: Sequence[str]
    real: int
    """How many of the vectors are a passage's own."""


def data_set(size: int = 100_000, *, folder: Path = FOLDER, real: int = 50_000) -> DataSet:
    """The set, made if it is not there."""
    real = min(real, size) + QUERIES
    passages, kept = folder / "passages.json", folder / "embedded.npy"
    if not kept.exists() or len(np.load(kept, mmap_mode="r")) < real:
        folder.mkdir(parents=True, exist_ok=True)
        texts = list(itertools.islice(_passages(random.Random(7)), real))
        vectors = asyncio.run(embedded(texts))
        np.save(kept, vectors)
        passages.write_text(json.dumps(texts))
    texts, vectors = json.loads(passages.read_text())[:real], np.load(kept)[:real]
    queries, questions = vectors[:QUERIES], texts[:QUERIES]
    vectors, texts = vectors[QUERIES:], texts[QUERIES:]
    between, of = _between(vectors, max(0, size - len(vectors)), np.random.default_rng(3))
    return DataSet(
        vectors=np.ascontiguousarray(np.concatenate([vectors, between])[:size]),
        texts=[*texts, *(texts[index] for index in of)][:size],
        queries=np.ascontiguousarray(queries),
        questions=questions,
        real=len(vectors),
    )


def _between(real: Matrix, number: int, rng: np.random.Generator) -> tuple[Matrix, list[int]]:
    """Points between near neighbours, a little off the line, and the neighbour that each is nearest to."""
    made, nearest = [real[:0]], []
    while number > 0:
        some = min(2000, number)
        first, pool = rng.integers(0, len(real), some), rng.integers(0, len(real), 4000)
        near = np.argpartition(-(real[first] @ real[pool].T), 8, axis=1)[:, :8]
        second = pool[near[np.arange(some), rng.integers(0, 8, some)]]
        share: Matrix = np.asarray(rng.uniform(0.35, 0.65, (some, 1)), np.float32)
        mixed = share * real[first] + (1 - share) * real[second]
        mixed += np.asarray(rng.normal(0, 0.012, mixed.shape), np.float32)
        made.append(mixed / np.linalg.norm(mixed, axis=1, keepdims=True))
        nearest += np.where(share[:, 0] > 0.5, first, second).tolist()
        number -= some
    return np.concatenate(made), nearest


def embedder() -> LocalEmbedder:
    """The bundled model."""
    return LocalEmbedder(MODEL / "model.int8.onnx", MODEL / "tokenizer.json", threads=2)


async def embedded(texts: Sequence[str], *, shows: bool = True, by: LocalEmbedder | None = None) -> Matrix:
    """A vector for each text, by the bundled model, which is loaded unless it is given."""
    model = by or embedder()
    vectors = np.zeros((len(texts), 384), np.float32)
    for start in track(range(0, len(texts), BATCH), "embedding", disable=not shows):
        reply = await model.embed(
            EmbeddingsRequest(model="local-embedding", inputs=tuple(texts[start : start + BATCH]))
        )
        rows: Any = reply.whole.vectors if reply.whole else ()
        for place, row in enumerate(rows):
            vectors[start + place] = np.frombuffer(row, np.float32)
    if by is None:
        await model.close()
    return vectors


def _passages(rng: random.Random) -> Iterator[str]:
    """Prose of this machine, no passage twice."""
    files = [
        path
        for place in (Path("/usr/share/doc"), Path("/usr/share/man"))
        for path in place.rglob("*")
        if path.is_file() and not path.name.lower().startswith(("changelog", "copyright"))
    ]
    for name in ("stdlib", "purelib"):
        files += Path(sysconfig.get_paths()[name]).rglob("*.py")
    rng.shuffle(files)
    seen: set[str] = set()
    for path in files:
        fresh = (passage for passage in _cut(_prose(path)) if passage[:160] not in seen)
        for passage in itertools.islice(fresh, OF_ONE_FILE):
            seen.add(passage[:160])
            yield passage


def _prose(path: Path) -> str:
    if path.stat().st_size > 3_000_000 or path.suffix in (".png", ".svg", ".pdf"):
        return ""
    raw = path.read_bytes()
    try:
        text = (gzip.decompress(raw) if path.suffix == ".gz" else raw).decode("utf-8", "ignore")
    except (OSError, EOFError):
        return ""
    if path.suffix == ".py":
        try:
            nodes = ast.walk(ast.parse(text))
            kinds = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
            return "\n\n".join(ast.get_docstring(node) or "" for node in nodes if isinstance(node, kinds))
        except (SyntaxError, ValueError):
            return ""
    if "/man/" in str(path):
        return re.sub(r"(?m)^[.'].*$|\\f.|\\&|\\-|\\\(..|\\e", "", text)
    if path.suffix == ".html":
        return html.unescape(re.sub(r"(?s)<(script|style|pre).*?</\1>|<[^>]+>", " ", text))
    return text


def _cut(text: str) -> Iterator[str]:
    rest = ""
    for paragraph in re.split(r"\n\s*\n", text):
        prose = " ".join(paragraph.split())
        if len(prose) < 40 or sum(letter.isalpha() or letter == " " for letter in prose) < 0.75 * len(prose):
            continue
        rest = f"{rest} {prose}".strip()
        while len(rest) >= PASSAGE.start:
            passage = rest[: PASSAGE.stop]
            if len(rest) > PASSAGE.stop:
                passage = passage.rsplit(" ", 1)[0]
            if len(passage.encode()) < MOST_TOKENS:  # no token is shorter than a byte
                yield passage
            rest = rest[len(passage) :].strip()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Makes the data set of benchmarks/vectors.py.")
    parser.add_argument("--real", type=int, default=50_000, help="how many passages the model embeds")
    made = data_set(real=parser.parse_args().real)
    print(f"{len(made.vectors)} vectors, {made.real} of them real, {len(made.queries)} queries")  # noqa: T201
