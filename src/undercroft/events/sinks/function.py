"""Events told to a function of the operator's own."""

import asyncio
import inspect
from collections.abc import Sequence
from typing import Final

from undercroft.events.retry import FUNCTION, Patience
from undercroft.events.sink import Outcome
from undercroft.events.subscribers import Subscription
from undercroft.events.types import Event
from undercroft.telemetry.logs import get_logger

AT_ONCE: Final = 8


class FunctionSink:
    """Calls the function with each event."""

    patience: Patience = FUNCTION
    at_once = AT_ONCE
    batch = 1

    def __init__(self, subscription: Subscription) -> None:
        self._subscription = subscription

    async def send(self, events: Sequence[Event], /) -> Outcome:
        function = self._subscription.function
        for event in events:
            try:
                if inspect.iscoroutinefunction(function):
                    await function(event)
                else:
                    await asyncio.to_thread(function, event)
            except Exception as error:  # noqa: BLE001 - the outermost edge of the operator's function
                get_logger("undercroft.events").error(
                    "subscriber_failed", subscriber=self._subscription.name, event_id=event.id, exc_info=error
                )
                return Outcome(ok=False, error=f"{type(error).__name__}: {error}"[:500])
        return Outcome(ok=True)
