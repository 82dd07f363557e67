"""What delivery reaches is held against what others do in the same run."""

from benchmarks.job_goals import goals_of

CONTENDERS = {
    "undercroft, embedded": {"done_per_s": 4000.0, "pickup_p50_ms": 1.2},
    "undercroft, Celery": {"drained_per_s": 4000.0, "one_caller_per_s": 500.0, "pickup_p50_ms": 4.0},
    "undercroft, PostgreSQL": {"done_per_s": 2000.0},
    "plain Celery": {"done_per_s": 1000.0, "drained_per_s": 1000.0, "one_caller_per_s": 1000.0},
}


def test_every_figure_is_held_against_its_goal() -> None:
    found = {goal.name: (goal.value, goal.verdict) for goal in goals_of(CONTENDERS)}
    assert found == {
        "Celery, a backlog, against plain Celery": (4.0, "missed"),
        "Celery, one caller, against plain Celery": (0.5, "missed"),
        "PostgreSQL, against plain Celery": (2.0, "missed"),
        "PostgreSQL, against procrastinate": (None, "not measured"),
        "embedded, against plain Celery": (4.0, "missed"),
        "embedded, picked up, median": (1.2, "missed"),
        "Celery, picked up, median": (4.0, "must"),
    }
