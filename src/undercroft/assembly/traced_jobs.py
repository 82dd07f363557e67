"""A kind of job whose runs leave a span each, below the request that handed the job in."""

import msgspec

from undercroft.jobs.handlers import Handler, JobContext
from undercroft.jobs.types import Job
from undercroft.telemetry.spans import Attribute
from undercroft.telemetry.trace_context import from_earlier
from undercroft.telemetry.tracing import Tracing


class TracedJobs:
    """The same kind of job. What a run does, calls at providers among it, is below the run's span."""

    def __init__(self, handler: Handler, tracing: Tracing) -> None:
        self.kind = handler.kind
        self.limits = handler.limits
        self._handler = handler
        self._tracing = tracing

    def check(self, input: bytes, /) -> str:
        return self._handler.check(input)

    async def run(self, job: Job, context: JobContext, /) -> bytes:
        said: dict[str, Attribute] = {
            "messaging.destination.name": job.queue,
            "messaging.message.id": job.id,
            "undercroft.organisation": job.organisation,
            "undercroft.job.kind": job.kind,
            "undercroft.job.run": job.runs,
        }
        above, call = from_earlier(job.trace)
        with self._tracing.around(above, f"job {self.kind}", "consumer", said, call=call) as traceparent:
            return await self._handler.run(msgspec.structs.replace(job, trace=traceparent), context)
