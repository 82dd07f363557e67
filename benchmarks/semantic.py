"""How near questions are to each other, by the bundled model: those that want one answer, and those that must not.

For each threshold: which share of the pairs that say the same is answered from the cache, and which share of those with
another number, negation or name would be answered wrongly; by vectors alone, and with the facts compared first, as the
cache does (src/undercroft/cache/facts.py). The pairs are tests/unit/cache/questions.txt.

usage: python -m benchmarks.semantic [--out FILE]
"""

import argparse
import asyncio
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from rich.console import Console
from rich.table import Table

from benchmarks.vector_data import embedded
from undercroft.cache.facts import facts_of

CORPUS: Final = Path("tests/unit/cache/questions.txt")
SAME: Final = "the same"
THRESHOLDS: Final = (0.5, 0.6, 0.65, 0.7, 0.75, 0.8, 0.825, 0.85, 0.875, 0.9, 0.925, 0.95, 0.975, 0.99)


@dataclass(frozen=True, slots=True)
class Pair:
    """Two questions, whether they want the same answer, and what is known of both."""

    is_same: bool
    nearness: float
    """Cosine."""
    has_same_facts: bool


def pairs_in(corpus: str) -> list[tuple[bool, str, str]]:
    """`{a|b}` in a line is `a` in the one question and `b` in the other; a line that begins with # names its kind."""
    found, is_same = [], False
    for line in filter(None, corpus.splitlines()):
        if line.startswith("# "):
            is_same = line[2:] == SAME
        else:
            pieces = [piece.split("|") for piece in line.replace("}", "{").split("{")]
            one, other = ("".join(halves[side % len(halves)] for halves in pieces) for side in (0, 1))
            found.append((is_same, one, other))
    return found


def rates(pairs: Sequence[Pair], threshold: float, *, by_facts: bool) -> tuple[float, float]:
    """Share of the same that is answered, and of the others that is answered wrongly."""

    def answered(is_same: bool) -> float:
        fit = [pair for pair in pairs if pair.is_same == is_same]
        hits = [pair for pair in fit if pair.nearness >= threshold and (pair.has_same_facts or not by_facts)]
        return len(hits) / len(fit)

    return answered(is_same=True), answered(is_same=False)


def measured() -> list[Pair]:
    """Every pair of the corpus, embedded."""
    asked = pairs_in(CORPUS.read_text("utf-8"))
    vectors = asyncio.run(embedded([text for _, one, other in asked for text in (one, other)], shows=False))
    near = np.einsum("ij,ij->i", vectors[::2], vectors[1::2])
    return [
        Pair(is_same, float(nearness), facts_of(one) is not None and facts_of(one) == facts_of(other))
        for (is_same, one, other), nearness in zip(asked, near, strict=True)
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description="False and right answers of the semantic cache, by threshold.")
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/semantic.json"))
    options = parser.parse_args()
    pairs = measured()
    rows: list[dict[str, Any]] = []
    for threshold in THRESHOLDS:
        alone, guarded = (rates(pairs, threshold, by_facts=by_facts) for by_facts in (False, True))
        figures = {"hits_alone": alone[0], "false_alone": alone[1], "hits": guarded[0], "false": guarded[1]}
        rows.append({"threshold": threshold, **{name: round(value, 4) for name, value in figures.items()}})
    same = sum(pair.is_same for pair in pairs)
    table = Table(title=f"{same} pairs that say the same, {len(pairs) - same} that do not")
    for name in rows[0]:
        table.add_column(name, justify="right")
    for row in rows:
        table.add_row(f"{row['threshold']:.3f}", *(f"{value:.1%}" for value in list(row.values())[1:]))
    Console().print(table)
    least = round(min(pair.nearness for pair in pairs if pair.is_same), 4)
    written = {"same": same, "changed": len(pairs) - same, "least_of_the_same": least, "rows": rows}
    options.out.parent.mkdir(parents=True, exist_ok=True)
    options.out.write_text(json.dumps(written, indent=1) + "\n")


if __name__ == "__main__":
    main()
