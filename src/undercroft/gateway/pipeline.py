"""How stages are put around each other; `gateway.py` holds their order."""

from collections.abc import Awaitable, Sequence

from undercroft.gateway.call import Call, Handler, Stage
from undercroft.llm.reply import Reply


def pipeline(stages: Sequence[Stage], last: Handler) -> Handler:
    """Folds the stages around `last`, the first one outermost."""
    handler = last
    for stage in reversed(stages):
        handler = _around(stage, handler)
    return handler


def _around(stage: Stage, inner: Handler) -> Handler:
    def run(call: Call) -> Awaitable[Reply]:  # not a coroutine of its own: there is one per stage already
        return stage(call, inner)

    return run
