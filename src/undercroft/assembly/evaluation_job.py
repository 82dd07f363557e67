"""The kind of job `evaluation`: a suite that is run by a worker, on a schedule or beside a deployment."""

from typing import Any, Final

import msgspec

from undercroft.assembly.job_kinds import GatewayInForce
from undercroft.assembly.releases import LiveBook
from undercroft.clock import Clock
from undercroft.errors import InvalidRequest
from undercroft.ids import Ids
from undercroft.jobs.handlers import JobContext
from undercroft.jobs.types import Job, Limits
from undercroft.money import parse_usd
from undercroft.settings.model import Settings

KIND: Final = "evaluation"
PARALLEL: Final = 4


class EvaluationInput(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is to be evaluated."""

    suite: Any
    """As a suite's file holds it."""
    model: str = ""
    """Else the suite's."""
    against: str = ""
    """Compared with this one, case by case."""
    max_cost: str = ""
    """USD; begins nothing that could cost more."""


class EvaluationHandler:
    """Calls are booked under the job's own caller. The result is what `undercroft eval run --json` shows."""

    kind = KIND

    def __init__(
        self,
        settings: Settings,
        *,
        limits: Limits,
        in_force: GatewayInForce,
        book: LiveBook,
        ids: Ids,
        clock: Clock,
    ) -> None:
        self.limits = limits
        self._settings = settings
        self._in_force = in_force
        self._book = book
        self._ids = ids
        self._clock = clock

    def check(self, input: bytes, /) -> str:
        from undercroft.evaluation.check import Checks
        from undercroft.evaluation.checks.built_in import BUILT_IN
        from undercroft.evaluation.suite import suite_of

        asked = _read(input)
        suite = suite_of(asked.suite, name=KIND, where="suite")
        for case in suite.cases:
            if any(check.kind == "python" for check in case.checks):
                raise InvalidRequest(
                    f"Case '{case.id}': the check python runs code of whoever runs the suite; jobs take none.",
                    param="input",
                )
            Checks(BUILT_IN).of(case)
        return ""

    async def run(self, job: Job, context: JobContext, /) -> bytes:
        from undercroft.assembly.evaluation import Bench, ModelSubject
        from undercroft.evaluation.check import Checks
        from undercroft.evaluation.checks.built_in import BUILT_IN
        from undercroft.evaluation.compare import compare, summary_of
        from undercroft.evaluation.runner import Runner
        from undercroft.evaluation.suite import suite_of

        asked = _read(job.input.encode())
        suite = suite_of(asked.suite, name=KIND, where="suite")
        under_way = self._in_force.begin()
        try:
            bench = Bench(
                self._in_force.gateway(),
                settings=self._settings,
                book=self._book,
                who=job.who,
                ids=self._ids,
                clock=self._clock,
            )
            cap_nano = parse_usd(asked.max_cost) if asked.max_cost else None
            runner = Runner(Checks(BUILT_IN), bench, parallel=PARALLEL, cap_nano=cap_nano)
            models = [*([asked.against] if asked.against else []), asked.model or suite.model]
            total, done, runs = len(models) * len(suite.cases) * suite.repeat, 0, []

            def advance(step: int) -> None:
                nonlocal done
                done += step
                context.progress(done, total)

            for model in models:
                subject = ModelSubject(bench, model, prompt=suite.prompt, asking=suite.asking)
                runs.append(await runner.run(suite, subject, advance=advance))
        finally:
            under_way.end()
        if not all(run.trials for run in runs):
            raise InvalidRequest("Nothing was asked: the cost cap allows not even one answer.", param="max_cost")
        comparison = compare(runs[0], runs[1]) if len(runs) == 2 else None
        told = None if comparison is None else {**msgspec.to_builtins(comparison), "told": comparison.told}
        return msgspec.json.encode({"summaries": [summary_of(run) for run in runs], "comparison": told})


def _read(input: bytes) -> EvaluationInput:
    try:
        asked = msgspec.json.decode(input, type=EvaluationInput)
        if asked.max_cost:
            parse_usd(asked.max_cost)
    except (msgspec.MsgspecError, ValueError) as error:
        raise InvalidRequest(f"This is no evaluation: {error}.", param="input") from error
    return asked
