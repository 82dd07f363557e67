"""`[retention]`: how long rows are kept that nothing else deletes."""

from typing import Annotated

from pydantic import Field

from undercroft.settings.section import Section

Days = Annotated[int, Field(gt=0, le=36_500)]


class Retention(Section):
    """How long what has no end of its own is kept; other tables have their own settings (the guide to upgrades lists
    all)."""

    calls_days: Annotated[int, Field(ge=62, le=36_500)] | None = None
    """Calls in the ledger; default: for ever. Those of an organisation that has a budget without an end stay."""
    batches_days: Days | None = None
    """Batches that have ended, with their lines; default: for ever. Their files have an end of their own."""
    feedback_days: Days | None = None
    """Feedback on answers; default: for ever."""

    @property
    def says_anything(self) -> bool:
        return any(days is not None for days in (self.calls_days, self.batches_days, self.feedback_days))
