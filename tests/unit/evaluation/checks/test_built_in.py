from typing import Any

import pytest

from tests.support.evaluation import Said, case
from undercroft.evaluation.check import Checks
from undercroft.evaluation.checks.built_in import BUILT_IN
from undercroft.evaluation.checks.judged import outcome
from undercroft.evaluation.checks.text import last_number
from undercroft.evaluation.types import Answer, Case, CheckSpec, Mark

pytestmark = pytest.mark.anyio


async def mark(
    kind: str, value: object, text: str, *, expected: str | None = None, tools: Said | None = None, **fields: Any
) -> Mark:
    asked = case("1", "Capital of France?", CheckSpec(kind=kind, value=value), expected=expected)
    (check,) = Checks(BUILT_IN).of(asked)
    return await check.mark(asked, Answer(text=text, **fields), tools or Said())


@pytest.mark.parametrize(
    ("kind", "value", "text", "passed"),
    [
        ("exact", "Paris", " Paris\n", True),
        ("exact", "Paris", "paris", False),
        ("exact", {"to": "Paris", "ignore_case": True}, "PARIS", True),
        ("contains", "paris", "It is Paris.", True),
        ("contains", ["Paris", "France"], "It is Paris.", False),
        ("contains", {"any": ["Rome", "Paris"]}, "It is Paris.", True),
        ("contains", {"none": ["Rome"]}, "It is Rome.", False),
        ("regex", r"^\d{4}$", "1789", True),
        ("regex", r"^\d{4}$", "In 1789", False),
        ("json_schema", {"type": "object", "required": ["city"]}, '```json\n{"city": "Paris"}\n```', True),
        ("json_schema", {"type": "object", "required": ["city"]}, "{}", False),
        ("json_schema", {"type": "object"}, "Paris", False),
        ("number", 42, "The answer is 42.", True),
        ("number", {"value": 3.14159, "tolerance": 0.01}, "about 3.14", True),
        ("number", {"value": 100, "relative": 0.05}, "96", True),
        ("number", {"value": 100, "relative": 0.05}, "94", False),
        ("number", 1, "none", False),
        ("output_tokens", 5, "x", True),
    ],
)
async def test_what_an_answer_says(kind: str, value: object, text: str, passed: bool) -> None:
    assert (await mark(kind, value, text)).passed is passed


async def test_without_a_value_it_is_the_cases_expected_text() -> None:
    for kind in ("exact", "contains", "number"):
        assert (await mark(kind, None, "7", expected="7")).passed
        assert not (await mark(kind, None, "8", expected="7")).passed


async def test_what_an_answer_took() -> None:
    assert (await mark("latency_ms", 100, "x", latency_ms=99.0)).passed
    assert not (await mark("latency_ms", 100, "x", latency_ms=101.0)).passed
    assert (await mark("cost_usd", "0.001", "x", cost_nano=1_000_000)).passed
    assert not (await mark("cost_usd", "0.001", "x", cost_nano=1_000_001)).passed


async def test_what_means_the_same_is_similar() -> None:
    tools = Said(vectors={"Paris": [1.0, 0.0], "the capital": [0.6, 0.8]})

    near = await mark("similar", {"to": "Paris", "at_least": 0.5}, "the capital", tools=tools)
    far = await mark("similar", {"at_least": 0.7}, "the capital", expected="Paris", tools=tools)

    assert near.passed
    assert near.score == pytest.approx(0.6)
    assert not far.passed


@pytest.mark.parametrize(
    ("first", "second", "expected"),
    [("A", "B", "win"), ("B", "A", "loss"), ("A", "A", "tie"), ("B", "B", "tie"), ("TIE", "B", "tie"), ("", "", "tie")],
)
def test_a_pair_is_won_only_from_both_places(first: str, second: str, expected: str) -> None:
    assert outcome(first, second) == expected


async def test_a_judge_who_always_prefers_the_first_place_decides_nothing() -> None:
    said = await mark(
        "judge", {"model": "j", "rubric": "r"}, "ours", expected="theirs", tools=Said(judge=lambda _: "A")
    )

    assert (said.score, said.note) == (0.5, "tie")


async def test_a_judge_compares_with_places_swapped_and_knows_the_rubric() -> None:
    tools = Said(judge=lambda prompt: "A" if prompt.index("ours") < prompt.index("theirs") else "B", cost_nano=3)

    said = await mark("judge", {"model": "j", "rubric": "Be brief."}, "ours", expected="theirs", tools=tools)

    assert (said.note, said.score, said.cost_nano) == ("win", 1.0, 6)
    assert all("Be brief." in prompt and "Capital of France?" in prompt for prompt in tools.heard)


async def test_a_judge_alone_says_yes_or_no() -> None:
    value = {"model": "j", "rubric": "Be brief.", "pairwise": False}

    assert (await mark("judge", value, "ours", expected="x", tools=Said(judge=lambda _: "I say: yes."))).passed
    assert not (await mark("judge", value, "ours", tools=Said(judge=lambda _: "No."))).passed


async def test_what_a_moderation_model_finds_fails() -> None:
    flagged = Said(flagged=("hate", "violence"))

    assert (await mark("moderation", None, "x")).passed
    assert not (await mark("moderation", None, "x", tools=flagged)).passed
    assert (await mark("moderation", {"categories": ["sexual"]}, "x", tools=flagged)).passed


async def test_personal_data_in_an_answer_fails() -> None:
    assert (await mark("pii", None, "Call the front desk.")).passed
    said = await mark("pii", None, "Write to ann@example.com.")
    assert (said.passed, said.note) == (False, "email")
    assert (await mark("pii", ["card"], "Write to ann@example.com.")).passed


async def test_retrieval_passes_where_each_metric_reaches_its_number() -> None:
    value = {"collection": "docs", "relevant": ["a", "b"], "k": 2, "recall": 0.5, "mrr": 1.0}

    assert (await mark("retrieval", value, "", tools=Said(found=["a", "x"]))).passed
    assert not (await mark("retrieval", value, "", tools=Said(found=["x", "a"]))).passed


def half(asked: Case, answer: Answer) -> float:
    return 0.5


def broken(asked: Case, answer: Answer) -> bool:
    raise KeyError("oh")


async def test_a_function_of_ones_own_says() -> None:
    assert (await mark("python", f"{__name__}:half", "x")).score == 0.5
    assert "KeyError" in (await mark("python", f"{__name__}:broken", "x")).note


@pytest.mark.parametrize(
    ("text", "number"), [("1,234.5 km", 1234.5), ("-3", -3), ("1e3", 1000), ("a.b", None), ("v2 costs $7.", 7)]
)
def test_the_last_number_of_a_text(text: str, number: float | None) -> None:
    assert last_number(text) == number


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        ("regex", "("),
        ("json_schema", {"type": 7}),
        ("json_schema", "x"),
        ("json_schema", {"$ref": "http://127.0.0.1/schema.json"}),
        ("pii", ["names"]),
        ("pii", []),
        ("number", "x"),
        ("judge", {}),
        ("cost_usd", "x"),
        ("latency_ms", None),
        ("python", "no_module_of_this_name:x"),
        ("python", "x"),
        ("retrieval", {"collection": "docs"}),
        ("nothing", None),
    ],
)
def test_a_value_that_cannot_be_used_is_refused_with_the_case(kind: str, value: object) -> None:
    with pytest.raises(Exception, match="Case '1'"):
        Checks(BUILT_IN).of(case("1", "x", CheckSpec(kind=kind, value=value)))
