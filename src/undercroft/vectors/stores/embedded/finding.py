"""One search in memory: choose, plan, score."""

from dataclasses import dataclass
from typing import Final

import numpy as np

from undercroft.vectors.stores.embedded import scoring
from undercroft.vectors.stores.embedded.planner import Plan, Situation, plan, without_graph
from undercroft.vectors.stores.embedded.resident import Choice, View
from undercroft.vectors.stores.embedded.scoring import Floats, Positions
from undercroft.vectors.types import CollectionSpec, Query

INLINE: Final = 400_000
"""Numbers scored (or candidates' worth of it) that are done sooner than a thread is asked."""
COVERED: Final = 1.25
"""How many times what the graph holds there may be: points that came later are all scored."""


@dataclass(frozen=True, slots=True)
class Search:
    """What is to be done, decided but not begun."""

    spec: CollectionSpec
    view: View
    query: Query
    choice: Choice
    plan: Plan

    @property
    def is_short(self) -> bool:
        """Whether it is over sooner than a thread would take it up."""
        if self.plan.way == "all":
            return self.choice.number * self.spec.dimension <= INLINE
        return self.plan.way != "graph" or self.plan.candidates <= 500

    def run(self) -> list[tuple[int, float]]:
        """Row and score of the nearest points, best first."""
        query = np.frombuffer(self.query.vector, np.float32)
        if self.spec.metric == "cosine":
            query = (query / np.linalg.norm(query.astype(np.float64))).astype(np.float32)
        return self._run(self.plan, query)

    def _run(self, way: Plan, query: Floats) -> list[tuple[int, float]]:
        view, metric = self.view, self.spec.metric
        match way.way:
            case "none":
                return []
            case "all":
                positions = self.choice.listed()
                if positions is None:
                    return self._hits(None, scoring.score_all(metric, view.vectors, query))
                return self._hits(positions, scoring.score_at(metric, view.vectors, positions, query))
            case "signs":
                assert view.planes is not None
                found = scoring.by_signs(view.planes, query, self.choice.listed(), way.candidates)
                return self._hits(found, scoring.score_at(metric, view.vectors, found, query))
            case "graph":
                return self._by_graph(way, query)

    def _by_graph(self, way: Plan, query: Floats) -> list[tuple[int, float]]:
        view, graph = self.view, self.view.graph
        assert graph is not None
        covered = graph.length
        found = graph.nearest(query, min(way.candidates, covered))
        if found is None:  # it is growing just now
            return self._otherwise(query)
        found = found[found < view.number]
        if not self.choice.is_all:
            found = found[self.choice.holds(found)]
        if covered < view.number:
            found = np.concatenate([found, self._uncovered(covered)])
        if len(found) < min(self.query.limit, self.choice.number):
            return self._otherwise(query)
        return self._hits(found, scoring.score_at(self.spec.metric, view.vectors, found, query))

    def _uncovered(self, covered: int) -> Positions:
        """Points that came after the graph was last extended."""
        late = np.arange(covered, self.view.number)
        return late if self.choice.is_all else late[self.choice.holds(late)]

    def _otherwise(self, query: Floats) -> list[tuple[int, float]]:
        way = without_graph(situation(self.spec, self.view, self.choice), limit=self.query.limit, effort=None)
        return self._run(way, query)

    def _hits(self, positions: Positions | None, found: Floats) -> list[tuple[int, float]]:
        top = scoring.best(found, self.query.limit)
        scored = found[top]
        if self.query.threshold is not None:
            top, scored = top[scored >= self.query.threshold], scored[scored >= self.query.threshold]
        rows = self.view.rows.take(top if positions is None else positions.take(top))
        return list(zip(rows.tolist(), scored.tolist(), strict=True))


def situation(spec: CollectionSpec, view: View, choice: Choice) -> Situation:
    return Situation(
        points=view.number,
        fitting=choice.number,
        dimension=spec.dimension,
        has_signs=view.planes is not None,
        has_graph=view.graph is not None and view.graph.length * COVERED >= view.number,
    )


def prepare(spec: CollectionSpec, view: View, query: Query) -> Search:
    """Decides how the search is done."""
    choice = view.choose(query.namespace, query.where)
    way = plan(
        situation(spec, view, choice),
        limit=query.limit,
        effort=query.effort or spec.effort,
        is_exact=query.is_exact,
    )
    return Search(spec, view, query, choice, way)
