"""What a run came to, for people and for CI: Markdown for a pull request, JUnit XML, one HTML page."""

import html
import re
from collections.abc import Sequence
from typing import Final
from xml.etree import ElementTree as ET

from undercroft.evaluation.compare import Comparison, Summary
from undercroft.evaluation.statistics import Interval
from undercroft.evaluation.types import Run, Suite, Trial
from undercroft.money import format_usd

SHOWN: Final = 300
LISTED: Final = 20
"""Failures that a summary names."""
_HEAD: Final = (
    '<!doctype html><html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">'
)
_STYLE: Final = """body{font:15px/1.5 system-ui,sans-serif;margin:2rem auto;max-width:70rem;padding:0 1rem;color:#222}
table{border-collapse:collapse;width:100%}th,td{text-align:left;vertical-align:top;padding:.3rem .6rem;
border-bottom:1px solid #ddd;overflow-wrap:anywhere}
pre{white-space:pre-wrap;margin:0}.no{color:#b00020}.yes{color:#0a6b2d}"""


def markdown(summaries: Sequence[Summary], runs: Sequence[Run], comparison: Comparison | None) -> str:
    """A summary for a pull request."""
    lines = [f"## Evaluation: {_cell(summaries[0].suite)}", ""]
    if comparison is not None:
        lines += [f"**{comparison.told}.**", ""]
    lines += [
        "| model | passed | rate (95 %) | score | latency, ms | cost, USD | errors |",
        "|---|---|---|---|---|---|---|",
    ]
    lines += [f"| {' | '.join(_figures(each))} |" for each in summaries]
    failures = [trial for trial in runs[-1].trials if not trial.passed]
    if failures:
        lines += ["", f"Not passed with `{_cell(runs[-1].model)}`:", ""]
        lines += [f"- `{_cell(trial.case)}`: {_cell(why(trial))}" for trial in failures[:LISTED]]
        if len(failures) > LISTED:
            lines.append(f"- … and {len(failures) - LISTED} more")
    if left_out := sum(run.left_out for run in runs):
        lines += ["", f"{left_out} trials were left out: the cost cap was reached."]
    return "\n".join(lines) + "\n"


def junit(runs: Sequence[Run]) -> str:
    """JUnit XML: a test suite a model, a test case a trial."""
    root = ET.Element("testsuites")
    for run in runs:
        failed = sum(not trial.passed and not trial.answer.error for trial in run.trials)
        errors = sum(bool(trial.answer.error) for trial in run.trials)
        suite = ET.SubElement(
            root,
            "testsuite",
            name=_xml(f"{run.suite} ({run.model})"),
            tests=str(len(run.trials)),
            failures=str(failed),
            errors=str(errors),
        )
        for trial in run.trials:
            case = ET.SubElement(
                suite,
                "testcase",
                classname=_xml(f"{run.suite}.{run.model}"),
                name=_xml(f"{trial.case} [{trial.repeat + 1}]"),
                time=f"{trial.answer.latency_ms / 1000:.3f}",
            )
            if not trial.passed:
                kind = "error" if trial.answer.error else "failure"
                ET.SubElement(case, kind, message=_xml(why(trial))).text = _xml(trial.answer.text)
    ET.indent(root)
    return '<?xml version="1.0" encoding="utf-8"?>\n' + ET.tostring(root, encoding="unicode") + "\n"


def page(suite: Suite, summaries: Sequence[Summary], runs: Sequence[Run], comparison: Comparison | None) -> str:
    """One HTML file with everything in it, and nothing from elsewhere."""
    title = f"Evaluation: {suite.name}"
    heads = ("model", "passed", "rate (95 %)", "score", "latency, ms", "cost, USD", "errors")
    parts = [
        f"{_HEAD}<title>{_text(title)}</title><style>{_STYLE}</style>",
        f"<h1>{_text(title)}</h1>",
        f"<p><strong>{_text(comparison.told)}</strong></p>" if comparison else "",
        _table(heads, ["".join(f"<td>{_text(cell)}</td>" for cell in _figures(each)) for each in summaries]),
    ]
    questions = {case.id: case.question for case in suite.cases}
    for run in runs:
        parts.append(f"<h2>{_text(run.model)}</h2>")
        parts.append(_table(("case", "question", "answer", "result"), [_row(each, questions) for each in run.trials]))
    return "\n".join(parts) + "</html>\n"


def why(trial: Trial) -> str:
    """What was wrong, in a line."""
    if trial.answer.error:
        return trial.answer.error[:SHOWN]
    return "; ".join(f"{mark.check}: {mark.note or 'not passed'}" for mark in trial.marks if not mark.passed)[:SHOWN]


def _row(trial: Trial, questions: dict[str, str]) -> str:
    result = '<span class="yes">passed</span>' if trial.passed else f'<span class="no">{_text(why(trial))}</span>'
    return (
        f"<td>{_text(trial.case)}</td><td><pre>{_text(questions.get(trial.case, ''))}</pre></td>"
        f"<td><pre>{_text(trial.answer.text)}</pre></td><td>{result}</td>"
    )


def _table(heads: Sequence[str], rows: Sequence[str]) -> str:
    head = "".join(f"<th>{_text(each)}</th>" for each in heads)
    return f"<table><tr>{head}</tr>{''.join(f'<tr>{row}</tr>' for row in rows)}</table>"


def _figures(summary: Summary) -> tuple[str, ...]:
    return (
        _cell(summary.model),
        f"{summary.passed} of {summary.trials}",
        _share(summary.rate),
        _share(summary.score),
        f"{summary.latency_ms.value:.0f}",
        format_usd(summary.cost_nano),
        str(summary.errors),
    )


def _share(interval: Interval) -> str:
    return f"{interval.value:.1%} ({interval.low:.1%} to {interval.high:.1%})"


def _cell(text: str) -> str:
    """Text that neither ends a Markdown table's cell nor its line."""
    return " ".join(text.replace("|", "\\|").replace("`", "'").split())


def _text(value: object) -> str:
    return html.escape(str(value))


def _xml(text: str) -> str:
    """XML 1.0 has no words for control characters."""
    return re.sub(r"[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]", "\ufffd", text)
