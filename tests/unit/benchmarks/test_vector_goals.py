"""A goal is reached by what was measured, or said not to have been measured."""

from benchmarks.vector_goals import goals_of

RESULTS = {
    "undercroft": {
        "filters": {"none": {"qps": 1700.0}, "m10": {"qps": 400.0}, "m2": {"qps": 600.0}},
        "size": {"memory_mb": 350.0},
        "build": {"start_s": 0.6},
        "rebuild_s": 19.0,
    },
    "qdrant-edge": {
        "filters": {"none": {"qps": 1000.0}, "m10": {"qps": 1000.0}, "m2": {"qps": 500.0}},
        "size": {"memory_mb": 700.0},
    },
    "lancedb": {"filters": {"m10": {"qps": 50.0}}},
}


def test_every_figure_is_held_against_its_goal() -> None:
    verdicts = {goal.name: (goal.value, goal.verdict) for goal in goals_of(RESULTS, embedded_per_s=120.0)}
    assert verdicts["no filter, against qdrant-edge"] == (1.7, "must")
    assert verdicts["filter of 10 %, against qdrant-edge"] == (0.4, "missed")
    assert verdicts["filter of 50 %, against qdrant-edge"] == (1.2, "aim")
    assert verdicts["filter of 10 %, against lancedb"] == (8.0, "must")
    assert verdicts["memory, float vectors included, against qdrant-edge"] == (0.5, "must")
    assert verdicts["rebuild of the index from SQLite"] == (19.0, "aim")
    assert verdicts["start with an intact index"] == (0.6, "missed")
    assert verdicts["chunks of 320 characters embedded"] == (120.0, "must")


def test_what_was_not_measured_is_not_called_reached() -> None:
    verdicts = {goal.name: goal.verdict for goal in goals_of(RESULTS)}
    assert verdicts["filter of 10 %, against chromadb"] == "not measured"
    assert verdicts["hybrid p95"] == "not measured"
    assert {goal.verdict for goal in goals_of({})} == {"not measured"}
