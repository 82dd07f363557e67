"""`undercroft eval`."""

import asyncio
from argparse import ArgumentParser, Namespace
from functools import partial
from pathlib import Path
from typing import Any, Final

import msgspec

from undercroft.assembly.evaluating import benched
from undercroft.assembly.evaluation import ModelSubject
from undercroft.assembly.stored_settings import encrypted_store
from undercroft.cli.commands.usage import moment
from undercroft.cli.installation import read_settings, ready_database
from undercroft.cli.output import Output
from undercroft.cli.parser import add_config, add_json
from undercroft.clock import SystemClock
from undercroft.errors import InvalidRequest
from undercroft.evaluation.check import Checks
from undercroft.evaluation.checks.built_in import BUILT_IN
from undercroft.evaluation.compare import Comparison, compare, summary_of
from undercroft.evaluation.reports import junit, markdown, page, why
from undercroft.evaluation.runner import Runner
from undercroft.evaluation.store import AnswerStore
from undercroft.evaluation.suite import read_lines, suite_of
from undercroft.evaluation.types import Run, Suite
from undercroft.money import format_usd, parse_usd
from undercroft.settings.model import Settings
from undercroft.versions.folder import read_file
from undercroft.wire.openai.chat.stored import said, spoken

HELP = """Runs evaluations, compares versions, makes cases of feedback.

Example: undercroft eval run suite.yaml --model support@staging --against support@production --markdown summary.md
         undercroft eval cases --below 0.5 --since 7d > cases.jsonl
         undercroft eval replay support@candidate --against support --limit 50"""
ORGANISATION: Final = "default"
CACHE: Final = "evaluations"
"""Folder of the data directory."""
LISTED: Final = 20


def arguments(parser: ArgumentParser) -> None:
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    run = actions.add_parser("run", help="ask a suite's cases, and check the answers", description=_RUN)
    run.add_argument("suite", type=Path, help="YAML or JSON; or JSONL, a case a line")
    run.add_argument("--model", help="default: the suite's")
    run.add_argument("--repeat", type=int, metavar="N", help="how often each case is asked; default: as the suite says")
    run.add_argument(
        "--at-least", type=float, default=1.0, metavar="RATE", help="share of trials that must pass; default: 1.0"
    )
    replay = actions.add_parser("replay", help="ask what was asked before, of another version", description=_REPLAY)
    replay.add_argument("model", help="for example support@candidate")
    replay.add_argument("--of", metavar="MODEL", help="only what was asked of this model")
    replay.add_argument(
        "--limit", type=int, default=100, metavar="N", help="stored completions, the latest; default: 100"
    )
    replay.add_argument(
        "--similar", type=float, default=0.7, metavar="COSINE", help="to the stored answer; default: 0.7"
    )
    for asking in (run, replay):
        asking.add_argument("--against", metavar="MODEL", help="compare with this one, case by case")
        asking.add_argument("--parallel", type=int, default=8, metavar="N", help="calls at once; default: 8")
        asking.add_argument("--max-cost", metavar="USD", help="begin nothing that could cost more, answers and judges")
        asking.add_argument("--no-cache", action="store_true", help="ask again what was answered before")
        asking.add_argument("--html", type=Path, metavar="FILE", help="write a page")
        asking.add_argument("--junit", type=Path, metavar="FILE", help="write JUnit XML")
        asking.add_argument("--markdown", type=Path, metavar="FILE", help="write a summary for a pull request")
    cases = actions.add_parser("cases", help="feedback on stored answers, as cases", description=_CASES)
    cases.add_argument("--since", type=moment, default=0, metavar="WHEN", help="7d, 12h, or a day")
    cases.add_argument("--below", type=float, metavar="SCORE", help="only what scored less")
    cases.add_argument("--out", type=Path, metavar="FILE", help="default: stdout")
    for action in (run, replay, cases):
        add_config(action)
        add_json(action)


_RUN = (
    "Asks the cases of a suite and checks the answers. Exit code 1: too few passed, or worse than the other.  "
    "Example: undercroft eval run suite.yaml --model support@staging --against support@production --max-cost 0.50"
)
_REPLAY = (
    "Asks another version what callers asked with store: true. Exit code 1: worse than the other.  "
    "Example: undercroft eval replay support@candidate --against support --limit 50"
)
_CASES = (
    "Writes a case (JSONL) for each piece of feedback on a stored chat completion or response.  "
    "Example: undercroft eval cases --below 0.5 --since 7d --out cases.jsonl"
)


def run(options: Namespace, out: Output) -> int:
    settings = read_settings(options, out, stored=encrypted_store)
    if options.action == "cases":
        return _cases(options, settings, out)
    suite = _suite(options) if options.action == "run" else None
    return asyncio.run(_evaluate(options, suite, settings, out))


def _suite(options: Namespace) -> Suite:
    """Raises InvalidRequest for a file that cannot be used."""
    path: Path = options.suite
    if not path.is_file():
        raise InvalidRequest(f"There is no file {path}.")
    value = read_lines(path) if path.suffix == ".jsonl" else read_file(path)
    suite = suite_of(value, name=path.stem, where=str(path))
    if options.repeat is not None:
        if options.repeat < 1:
            raise InvalidRequest("--repeat is at least 1.")
        suite = msgspec.structs.replace(suite, repeat=options.repeat)
    return suite


async def _evaluate(options: Namespace, suite: Suite | None, settings: Settings, out: Output) -> int:
    cap_nano = None if options.max_cost is None else _usd(options.max_cost)
    suite = suite or await _stored(options, settings)
    async with benched(settings) as bench:
        model = options.model or suite.model
        models = [each for each in (options.against, model) if each is not None]
        store = None if options.no_cache else AnswerStore(settings.data_dir / CACHE)
        runner = Runner(Checks(BUILT_IN), bench, store=store, parallel=max(1, options.parallel), cap_nano=cap_nano)
        runs = []
        with out.progress("asking", total=len(models) * len(suite.cases) * suite.repeat) as advance:
            for name in models:
                subject = ModelSubject(bench, name, prompt=suite.prompt, asking=suite.asking)
                runs.append(await runner.run(suite, subject, advance=advance))
    if not all(each.trials for each in runs):
        raise InvalidRequest("Nothing was asked: the cost cap allows not even one answer.")
    return _report(options, suite, runs, out)


def _usd(text: str) -> int:
    try:
        return parse_usd(text)
    except ValueError as error:
        raise InvalidRequest(f"--max-cost: {error}") from error


async def _stored(options: Namespace, settings: Settings) -> Suite:
    """What callers asked with `store: true`, with the answers that they got. Raises InvalidRequest for nothing."""
    from undercroft.chats.repository import listed

    find = partial(
        listed,
        organisation=ORGANISATION,
        now_us=SystemClock().now_us(),
        limit=options.limit,
        order="desc",
        model=options.of,
    )
    with ready_database(settings, otherwise="Stored requests are in the database, which is not ready") as database:
        kept = await database.read(find)
    cases = [
        {
            "id": each.id,
            "messages": _messages(turns),
            "expected": said(each.answer),
            "checks": [{"similar": options.similar}],
        }
        for each in kept
        if (turns := spoken(each.messages))
    ]
    if not cases:
        raise InvalidRequest("No chat completions are stored.", hint='Ask with "store": true to keep them.')
    return suite_of(cases, name="stored requests", where="stored requests")


def _report(options: Namespace, suite: Suite, runs: list[Run], out: Output) -> int:
    summaries = [summary_of(each) for each in runs]
    comparison = compare(runs[0], runs[1]) if len(runs) == 2 else None
    for path, text in (
        (options.html, partial(page, suite, summaries, runs, comparison)),
        (options.junit, partial(junit, runs)),
        (options.markdown, partial(markdown, summaries, runs, comparison)),
    ):
        if path is not None:
            path.write_text(text(), "utf-8")
    last = runs[-1]
    if out.json:
        told = None if comparison is None else {**msgspec.to_builtins(comparison), "told": comparison.told}
        out.show({"summaries": [msgspec.to_builtins(each) for each in summaries], "comparison": told})
    else:
        for summary in summaries:
            out.line(
                f"{summary.model or 'the default model'}: {summary.passed} of {summary.trials} passed, "
                f"{summary.rate.value:.1%} ({summary.rate.low:.1%} to {summary.rate.high:.1%}), "
                f"{summary.latency_ms.value:.0f} ms, {format_usd(summary.spent_nano)} USD spent"
            )
        for trial in [each for each in last.trials if not each.passed][:LISTED]:
            out.line(f"  {trial.case}: {why(trial)}")
        if comparison is not None:
            out.line(comparison.told)
    left_out = sum(each.left_out for each in runs)
    if left_out:
        out.note(f"{left_out} trials were left out: the cost cap was reached.")
    return _exit_code(options, summaries[-1].rate.value, comparison, left_out)


def _exit_code(options: Namespace, rate: float, comparison: Comparison | None, left_out: int) -> int:
    if left_out:
        return 1
    if comparison is not None:
        return 1 if comparison.verdict == "worse" else 0
    return 1 if rate < getattr(options, "at_least", 0.0) else 0


def _cases(options: Namespace, settings: Settings, out: Output) -> int:
    from undercroft.releases.feedback import Remembered, remembered

    def case(each: Remembered) -> dict[str, Any]:
        given = each.feedback
        value: dict[str, Any] = {"id": given.id, "messages": _messages(each.turns), "tags": [given.source]}
        if given.label:
            value["tags"].append(given.label)
        liked = given.score is not None and given.score >= 0.5 and each.said
        value["checks"] = [{"similar": {"to": each.said, "at_least": 0.8}}] if liked else []
        return value

    with ready_database(settings, otherwise="Feedback is in the database, which is not ready") as database:
        find = partial(remembered, organisation=ORGANISATION, since_us=options.since, below=options.below)
        found = database.read_sync(partial(find, now_us=SystemClock().now_us()))
    cases = [case(each) for each in found if each.turns]
    lines = "".join(msgspec.json.encode(each).decode() + "\n" for each in cases)
    if options.out is not None:
        options.out.write_text(lines, "utf-8")
        out.show({"cases": len(cases), "file": str(options.out)}, text=f"{len(cases)} cases are in {options.out}.")
    elif out.json:
        out.show(cases)
    else:
        out.show(cases, text=lines.rstrip("\n"))
    if not cases:
        out.note('No feedback on stored answers: ask with "store": true to keep them.')
    return 0


def _messages(turns: list[tuple[str, str]]) -> list[dict[str, str]]:
    return [{"role": role, "content": text} for role, text in turns]
