"""The embedded store beside others, on the same vectors in the same run: recall, queries a second, memory, disk, times.

Contenders answer in turns, a second each, round after round, so that what else the machine does hits all of them. Of
each, the least effort whose recall@10 reaches 0.99 counts. Rivals that are not among our own test packages are
installed in folders of their own. Besides: how fast the bundled model embeds, whether searches over our own guides find
what is asked for (benchmarks/retrieval.py), and every goal with what was measured of it (benchmarks/vector_goals.py).

usage: python -m benchmarks.vectors [--contenders undercroft,qdrant-edge,lancedb,chromadb] [--size 100000] [--out FILE]
"""

import argparse
import asyncio
import json
import platform
import shutil
import statistics
import subprocess
import sys
import time
import venv
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from rich.console import Console
from rich.table import Table

from benchmarks import retrieval
from benchmarks.goals import shown, written
from benchmarks.vector_contenders import FIELDS, LIMIT, field_values
from benchmarks.vector_data import FOLDER, DataSet, data_set, embedded, embedder
from benchmarks.vector_goals import goals_of

PACKAGES: Final = {"lancedb": ("lancedb", "numpy", "pyarrow"), "chromadb": ("chromadb", "numpy")}
RECALL: Final = 0.99
ROUNDS: Final = 5
SECONDS: Final = 1.0
FILTERS: Final = ("none", *FIELDS)
ASKED: Final = 200
"""Queries of each measurement."""
CHUNK: Final = 320
"""Characters."""
EMBEDDED: Final = 256
EMBEDDING_ROUNDS: Final = 3
"""Chunks of each round of `embedding_rate`."""


@dataclass(slots=True)
class Contender:
    """A process that answers commands."""

    name: str
    process: subprocess.Popen[str]

    def ask(self, *command: Any) -> dict[str, Any]:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(json.dumps(command) + "\n")
        self.process.stdin.flush()
        line = self.process.stdout.readline()
        if not line:
            raise SystemExit(f"{self.name} ended in the middle; its words stand above.")
        answer: dict[str, Any] = json.loads(line)
        return answer


def started(name: str, folder: Path) -> Contender:
    """The contender's process, its packages installed where they are not."""
    python = Path(sys.executable)
    if name in PACKAGES:
        place = folder / "rivals" / name
        python = place / "bin" / "python"
        if not (place / "installed").exists():
            shutil.rmtree(place, ignore_errors=True)
            venv.create(place, with_pip=True)
            subprocess.run([python, "-m", "pip", "install", "--quiet", *PACKAGES[name]], check=True)
            (place / "installed").touch()
    script = Path(__file__).with_name("vector_contenders.py")
    command = [str(python), str(script), name, str(folder)]
    return Contender(name, subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True))


def write_set(made: DataSet, folder: Path) -> None:
    """What the contenders read: vectors, queries, and the true nearest of each query under each filter."""
    place = folder / "set"
    place.mkdir(parents=True, exist_ok=True)
    np.save(place / "vectors.npy", made.vectors)
    np.save(place / "queries.npy", made.queries[:ASKED])
    scores = made.queries[:ASKED] @ made.vectors.T
    truth: dict[str, Any] = {}
    for name in FILTERS:
        masked = scores.copy()
        if name in FIELDS:
            values = field_values(FIELDS[name], len(made.vectors))
            masked[values != (np.arange(len(masked)) % FIELDS[name])[:, np.newaxis]] = -np.inf
        truth[name] = np.argsort(-masked, axis=1)[:, :LIMIT].tolist()
    (place / "truth.json").write_text(json.dumps(truth))
    (place / "texts.json").write_text(json.dumps(list(made.texts)))
    (place / "questions.json").write_text(json.dumps(list(made.questions[:ASKED])))


def efforts(contender: Contender, name: str, tried: Sequence[int]) -> tuple[int, float]:
    """The least effort that reaches the recall, or the largest there is, and the recall."""
    recall, effort = 0.0, tried[-1]
    for effort in tried:
        recall = float(contender.ask("recall", name, effort)["recall"])
        if recall >= RECALL:
            break
    return effort, recall


def measure(contenders: Sequence[Contender], say: Console, *, rounds: int, seconds: float) -> dict[str, Any]:
    """Every figure of every contender; each measurement takes so many seconds, so many times."""
    results: dict[str, Any] = {}
    for contender in contenders:
        say.print(f"{contender.name}: writing and indexing")
        results[contender.name] = {"build": contender.ask("build"), "filters": {}}
    for name in FILTERS:
        chosen = {each.name: efforts(each, name, results[each.name]["build"]["efforts"]) for each in contenders}
        seen: dict[str, list[dict[str, Any]]] = {each.name: [] for each in contenders}
        for _ in range(rounds):
            for each in contenders:
                seen[each.name].append(each.ask("measure", name, chosen[each.name][0], seconds))
        for each in contenders:
            effort, recall = chosen[each.name]
            figures = {key: statistics.median(one[key] for one in seen[each.name]) for key in seen[each.name][0]}
            results[each.name]["filters"][name] = {"effort": effort, "recall": recall, **figures}
            say.print(f"{name} {each.name}: {figures['qps']:.0f}/s at {recall:.3f}")
    for contender in contenders:
        results[contender.name]["size"] = contender.ask("size")  # before hybrid searches: the others have no words
        if contender.name == "undercroft":
            results[contender.name]["hybrid"] = contender.ask("hybrid")
            results[contender.name] |= contender.ask("rebuild")
    return results


async def embedding_rate(texts: Sequence[str]) -> float:
    """Chunks of 320 characters that the bundled model embeds a second, once it is loaded: the median of some rounds."""
    joined = " ".join(texts)
    chunks = [joined[start : start + CHUNK] for start in range(0, CHUNK * EMBEDDED, CHUNK)]
    model = embedder()
    rates = []
    try:
        await embedded(chunks[:8], shows=False, by=model)
        for _ in range(EMBEDDING_ROUNDS):
            started = time.perf_counter()
            await embedded(chunks, shows=False, by=model)
            rates.append(len(chunks) / (time.perf_counter() - started))
    finally:
        await model.close()
    return statistics.median(rates)


def report(results: dict[str, Any], say: Console) -> None:
    """A row for each contender."""
    table = Table(title="queries a second at recall@10 ≥ 0.99 (recall where it was not reached)")
    for column in ("", *FILTERS, "memory MB", "disk MB", "write s", "index s", "start s"):
        table.add_column(column, justify="right")
    for name, found in results.items():
        cells = [
            f"{one['qps']:.0f}" + ("" if one["recall"] >= RECALL else f" ({one['recall']:.3f})")
            for one in found["filters"].values()
        ]
        size, build = found["size"], found["build"]
        sizes = [f"{size['memory_mb']:.0f}", f"{size['disk_mb']:.0f}"]
        times = [f"{build[key]:.1f}" if key in build else "" for key in ("write_s", "derive_s", "start_s")]
        table.add_row(name, *cells, *sizes, *times)
    say.print(table)


def report_quality(found: dict[str, Any], say: Console) -> None:
    """A row for each kind of search."""
    table = Table(title=f"questions over our own guides ({found['chunks']} chunks)")
    for column in ("search", "questions", "recall@10", "nDCG@10", "MRR"):
        table.add_column(column, justify="right")
    for one in found["modes"]:
        figures = [f"{one[name]:.3f}" for name in ("recall", "ndcg", "mrr")]
        table.add_row(one["mode"], str(one["questions"]), *figures)
    say.print(table)


def main() -> None:
    parser = argparse.ArgumentParser(description="The embedded vector store beside others.")
    parser.add_argument("--contenders", default="undercroft,qdrant-edge,lancedb,chromadb")
    parser.add_argument("--size", type=int, default=100_000)
    parser.add_argument("--real", type=int, default=50_000, help="passages that the bundled model embeds")
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--seconds", type=float, default=SECONDS, help="of each measurement in a round")
    parser.add_argument("--folder", type=Path, default=FOLDER)
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/vectors.json"))
    options = parser.parse_args()
    say = Console(stderr=True)
    folder: Path = options.folder.absolute()
    made = data_set(options.size, folder=folder, real=options.real)
    write_set(made, folder)
    contenders = [started(name, folder) for name in options.contenders.split(",")]
    try:
        results = measure(contenders, say, rounds=options.rounds, seconds=options.seconds)
    finally:
        for contender in contenders:
            contender.process.terminate()
    rate = asyncio.run(embedding_rate(made.texts))
    quality = asyncio.run(retrieval.measure())
    goals = goals_of(results, embedded_per_s=rate)
    report(results, say)
    report_quality(quality, say)
    say.print(shown(goals))
    described = {"points": len(made.vectors), "real": made.real, "dimension": made.vectors.shape[1]}
    machine = {"python": platform.python_version(), "machine": platform.machine(), "system": platform.system()}
    options.out.parent.mkdir(parents=True, exist_ok=True)
    result = {
        "set": described,
        "machine": machine,
        "results": results,
        "embedded_per_s": rate,
        "retrieval": quality,
        "goals": written(goals),
    }
    options.out.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
