"""The checks that come with undercroft, by the names that suites give them."""

from collections.abc import Mapping
from typing import Final

from undercroft.evaluation.check import Making
from undercroft.evaluation.checks.guarded import Pii
from undercroft.evaluation.checks.judged import Judge, Moderation, Python, Similar
from undercroft.evaluation.checks.measured import Cost, Latency, OutputTokens
from undercroft.evaluation.checks.retrieval import Retrieval
from undercroft.evaluation.checks.text import Contains, Exact, JsonSchema, Number, Regex

BUILT_IN: Final[Mapping[str, Making]] = {
    "exact": Exact,
    "contains": Contains,
    "regex": Regex,
    "json_schema": JsonSchema,
    "number": Number,
    "similar": Similar,
    "judge": Judge,
    "latency_ms": Latency,
    "cost_usd": Cost,
    "output_tokens": OutputTokens,
    "moderation": Moderation,
    "pii": Pii,
    "retrieval": Retrieval,
    "python": Python,
}
