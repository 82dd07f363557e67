"""What delivery is to reach, beside what was measured: ratios to others in the same run, times of this machine."""

from collections.abc import Mapping
from typing import Any, Final

from benchmarks.goals import Goal, at, ratio

EMBEDDED: Final = "undercroft, embedded"
CELERY: Final = "undercroft, Celery"
POSTGRES: Final = "undercroft, PostgreSQL"
PLAIN: Final = "plain Celery"
PROCRASTINATE: Final = "procrastinate"

Contenders = Mapping[str, Mapping[str, Any]]


def goals_of(contenders: Contenders) -> list[Goal]:
    """Every goal, with what this run says of it."""

    def against(own: str, other: str, field: str) -> float | None:
        return ratio(at(contenders, own, field), at(contenders, other, field))

    faster = [
        ("Celery, a backlog, against plain Celery", against(CELERY, PLAIN, "drained_per_s"), 5.0),
        ("Celery, one caller, against plain Celery", against(CELERY, PLAIN, "one_caller_per_s"), 0.65),
        ("PostgreSQL, against plain Celery", against(POSTGRES, PLAIN, "done_per_s"), 2.5),
        ("PostgreSQL, against procrastinate", against(POSTGRES, PROCRASTINATE, "done_per_s"), 3.0),
        ("embedded, against plain Celery", against(EMBEDDED, PLAIN, "done_per_s"), 5.0),
    ]
    sooner = [
        ("embedded, picked up, median", at(contenders, EMBEDDED, "pickup_p50_ms"), 1.0),
        ("Celery, picked up, median", at(contenders, CELERY, "pickup_p50_ms"), 5.0),
    ]
    return [
        *(Goal(name=name, value=value, unit="x", must=must) for name, value, must in faster),
        *(Goal(name=name, value=value, unit="ms", must=must, is_least=False) for name, value, must in sooner),
    ]
