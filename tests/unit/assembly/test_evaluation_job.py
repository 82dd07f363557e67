import msgspec
import pytest

from tests.support.gateway import Bench, Prompter, said
from tests.support.jobs import row
from undercroft.assembly.evaluation_job import EvaluationHandler
from undercroft.assembly.releases import LiveBook
from undercroft.assembly.reloads import UnderWay
from undercroft.errors import InvalidRequest
from undercroft.gateway.gateway import Gateway
from undercroft.ids import Ids
from undercroft.jobs.handlers import JobContext
from undercroft.jobs.types import Job, Limits
from undercroft.settings.model import Settings

pytestmark = pytest.mark.anyio
CASES = [{"input": "Capital of France?", "checks": [{"contains": "Paris"}]}]


class InForce:
    """A configuration whose gateway has `chat` (says Paris) and `next` (says Rome)."""

    def __init__(self) -> None:
        self.bench = Bench(Prompter(said("Paris")), others={"next": Prompter(said("Rome"))})
        self.under_way = UnderWay()

    def gateway(self) -> Gateway:
        return self.bench.gateway

    def begin(self) -> UnderWay:
        self.under_way.begin()
        return self.under_way


def handler(in_force: InForce) -> EvaluationHandler:
    clock = in_force.bench.clock
    limits = Limits(lifetime_us=1, timeout_us=1)
    return EvaluationHandler(Settings(), limits=limits, in_force=in_force, book=LiveBook(), ids=Ids(clock), clock=clock)


def job(**fields: object) -> Job:
    return row(id="job_1", kind="evaluation", input=msgspec.json.encode(fields).decode())


async def test_a_suite_is_run_and_compared_and_its_calls_are_booked() -> None:
    in_force = InForce()
    asked = job(suite={"cases": CASES, "repeat": 2}, model="next", against="chat")
    context = JobContext(asked)

    result = msgspec.json.decode(await handler(in_force).run(asked, context))

    assert [(each["model"], each["passed"]) for each in result["summaries"]] == [("chat", 2), ("next", 0)]
    assert result["comparison"]["only_first"] == 1
    assert context.told is not None
    assert msgspec.json.decode(context.told) == {"done": 4, "total": 4}
    assert {record.endpoint for record in in_force.bench.recorder.ended} == {"evaluation"}
    assert in_force.under_way.count == 0


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"suite": {"cases": []}}, "no cases"),
        ({"suite": {"cases": CASES}, "mdl": "x"}, "mdl"),
        ({"suite": {"cases": CASES}, "max_cost": "much"}, "much"),
        ({"suite": [{"input": "x", "checks": [{"python": "os:system"}]}]}, "jobs take none"),
        ({"suite": [{"input": "x", "checks": [{"regex": "("}]}]}, "regex"),
    ],
)
async def test_what_cannot_be_evaluated_is_refused_before_it_is_accepted(fields: dict[str, object], says: str) -> None:
    with pytest.raises(InvalidRequest, match=says):
        handler(InForce()).check(msgspec.json.encode(fields))
