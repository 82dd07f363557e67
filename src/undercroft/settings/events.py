"""`[events]`: what happened, and who is told."""

from typing import Annotated

from pydantic import Field

from undercroft.settings.section import Positive, Seconds, Section

ModuleName = Annotated[str, Field(pattern=r"^[A-Za-z_]\w*(\.[A-Za-z_]\w*)*$", examples=["my_app.events"])]


class Events(Section):
    """What happened, and who is told: webhooks, functions of your own, a Redis stream."""

    modules: tuple[ModuleName, ...] = ()
    """Python modules with functions under `@undercroft.on(…)`."""
    keep_days: Annotated[int, Field(gt=0, le=3650)] = 7
    """How long events can be replayed; then they are deleted, sent or not."""
    webhook_timeout_s: Seconds = 20.0
    """How long a webhook's receiver may take to answer."""
    stream_length: Positive = 100_000
    """About how many events the Redis stream `undercroft:events` holds; older ones leave it."""
