"""How stages are put around each other; `gateway.py` holds their order."""

from collections.abc import Sequence

from undercroft.gateway.call import Call, Handler, Stage
from undercroft.llm.reply import Reply


def pipeline(stages: Sequence[Stage], last: Handler) -> Handler:
    """Folds the stages around `last`, the first one outermost."""
    handler = last
    for stage in reversed(stages):
        handler = _around(stage, handler)
    return handler


def _around(stage: Stage, inner: Handler) -> Handler:
    async def run(call: Call) -> Reply:
        return await stage(call, inner)

    return run
