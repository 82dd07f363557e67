from pathlib import Path

import pytest

from undercroft.errors import InvalidRequest
from undercroft.evaluation.suite import read_lines, suite_of
from undercroft.evaluation.types import CheckSpec, Message


def test_a_suite_is_read_with_what_its_cases_share() -> None:
    suite = suite_of(
        {
            "name": "capitals",
            "model": "chat",
            "repeat": 2,
            "prompt": {"name": "greeting", "version": "staging"},
            "parameters": {"temperature": 0},
            "checks": [{"latency_ms": 100}],
            "cases": [
                {"input": "France?", "expected": "Paris", "checks": [{"contains": "Paris"}]},
                {"id": "it", "messages": [{"role": "system", "content": "Be brief."}, {"content": "Italy?"}]},
            ],
        },
        name="file",
        where="file.yaml",
    )

    first, second = suite.cases
    assert (suite.name, suite.repeat, suite.asking.temperature) == ("capitals", 2, 0)
    assert (first.id, second.id) == ("1", "it")
    assert [check.kind for check in first.checks] == ["contains", "latency_ms"]
    assert second.messages == (Message(role="system", content="Be brief."), Message(content="Italy?"))
    assert second.question == "Italy?"


def test_an_expected_text_without_a_check_is_to_be_met_exactly() -> None:
    suite = suite_of([{"input": "1 + 1", "expected": 2}], name="sums", where="x")

    assert (suite.name, suite.cases[0].expected) == ("sums", "2")
    assert suite.cases[0].checks == (CheckSpec(kind="exact"),)


@pytest.mark.parametrize(
    ("value", "says"),
    [
        ([], "no cases"),
        ({"cases": "x"}, "no cases"),
        ("x", "an object"),
        ({"cases": [{"input": "x"}], "repeat": 0}, "repeat"),
        ({"cases": [{"input": "x"}], "mdl": "x"}, "mdl"),
        ([{"input": "x", "msgs": []}], "case 1: there is no field 'msgs'"),
        ([{}], "'input' or 'messages'"),
        ([{"input": "x"}, {"input": "x", "id": "1"}], "several cases"),
        ([{"input": "x", "checks": "exact"}], "'checks' is a list"),
        ([{"input": "x", "checks": [{"a": 1, "b": 2}]}], "one name"),
        ([{"input": 7}], "case 1"),
        ([{"messages": [{"role": "robot", "content": "x"}]}], "robot"),
    ],
)
def test_what_is_no_suite_is_refused_with_where_it_is_wrong(value: object, says: str) -> None:
    with pytest.raises(InvalidRequest, match=says) as refused:
        suite_of(value, name="file", where="file.yaml")
    assert "file.yaml" in refused.value.message


def test_a_line_that_is_no_json_is_named(tmp_path: Path) -> None:
    (tmp_path / "cases.jsonl").write_text('{"input": "x"}\n\n{"input": \n')

    with pytest.raises(InvalidRequest, match=r"cases\.jsonl:3"):
        read_lines(tmp_path / "cases.jsonl")
