"""Only what is known to leave a call alone lets it past."""

from collections.abc import Awaitable
from dataclasses import replace

import pytest

from tests.support.clock import ManualClock
from undercroft.api.fast_path.plain import passes
from undercroft.gateway.call import Call, Handler, Stage
from undercroft.gateway.catalogue import Catalogue, Defaults
from undercroft.gateway.contents import Content
from undercroft.gateway.policy import USUAL
from undercroft.gateway.stages.coalesce import Coalesce
from undercroft.gateway.stages.content import KeepContent, NoteRequest
from undercroft.gateway.stages.deadline import Deadline
from undercroft.gateway.stages.fallback import Fallback
from undercroft.gateway.stages.find import Find
from undercroft.gateway.stages.resume import Resume
from undercroft.llm.reply import Reply

CATALOGUE = Catalogue([], defaults=Defaults(chat="m", embeddings="m", accept_any=False))


class Another:
    """A stage of tomorrow."""

    def __call__(self, call: Call, proceed: Handler, /) -> Awaitable[Reply]:
        return proceed(call)


STAGES: list[tuple[Stage, dict[str, object]]] = [
    (Deadline(clock=ManualClock()), {"total_s": 5.0}),
    (Coalesce(), {"coalesce": True}),
    (Resume(), {"on_cut": "continue"}),
    (Fallback(CATALOGUE, clock=ManualClock()), {"fallbacks": ("other",)}),
    (Fallback(CATALOGUE, clock=ManualClock()), {"fallbacks_on_policy": ("other",)}),
]


@pytest.mark.parametrize(("stage", "switched_on"), STAGES)
def test_a_stage_lets_those_past_who_have_not_asked_for_it(stage: Stage, switched_on: dict[str, object]) -> None:
    assert passes(stage, USUAL)
    assert not passes(stage, replace(USUAL, **switched_on))  # type: ignore[arg-type]  # fields by their names


def test_what_the_fast_path_does_itself_is_in_nobodys_way() -> None:
    assert passes(Find(CATALOGUE), USUAL)


class Nowhere:
    """Keeps nothing."""

    def keep(self, content: Content, /) -> None:
        raise AssertionError(content)


def test_contents_that_are_kept_of_all_calls_are_kept_of_plain_ones() -> None:
    assert passes(KeepContent(Nowhere(), mode="on_request"), USUAL)
    assert passes(NoteRequest(), USUAL)
    assert not passes(KeepContent(Nowhere(), mode="always"), USUAL)


def test_a_stage_that_nobody_has_looked_at_stops_every_call() -> None:
    assert not passes(Another(), USUAL)
