from xml.etree import ElementTree as ET

from msgspec.structs import replace

from tests.support.evaluation import case, run_of, suite
from undercroft.evaluation.compare import compare, summary_of
from undercroft.evaluation.reports import junit, markdown, page
from undercroft.evaluation.types import Answer

FIRST = run_of("old|one", {"a": [True], "b": [False]})
SECOND = run_of("new", {"a": [False], "b": [True]})
NASTY = "<script>alert(1)</script>\x00 `x` | y"


def test_a_summary_for_a_pull_request_holds_the_verdict_and_what_failed() -> None:
    runs = [FIRST, SECOND]

    text = markdown([summary_of(each) for each in runs], runs, compare(*runs))

    assert "cannot tell" in text
    assert "| old\\|one | 1 of 2 |" in text
    assert "- `a`: exact: not passed" in text


def test_left_out_trials_are_told() -> None:
    run = replace(FIRST, left_out=3)

    assert "3 trials were left out" in markdown([summary_of(run)], [run], None)


def test_junit_counts_failures_and_errors_and_is_xml_whatever_was_said() -> None:
    nasty = replace(FIRST.trials[1], answer=Answer(text=NASTY))
    failed = replace(FIRST.trials[0], answer=Answer(error=NASTY))

    root = ET.fromstring(junit([replace(FIRST, trials=(nasty, failed))]))

    (found,) = root
    assert (found.get("tests"), found.get("failures"), found.get("errors")) == ("2", "1", "1")
    assert root.find(".//failure") is not None
    assert "<script>" in (root.find(".//error").get("message") or "")  # type: ignore[union-attr]


def test_the_page_shows_what_was_said_and_runs_none_of_it() -> None:
    nasty = replace(FIRST, trials=(replace(FIRST.trials[0], answer=Answer(text=NASTY)),))

    text = page(suite(case("a", NASTY)), [summary_of(nasty)], [nasty], None)

    assert "<script>" not in text
    assert "&lt;script&gt;alert(1)" in text
