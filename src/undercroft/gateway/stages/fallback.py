"""Lets another model answer where the one that was asked for cannot."""

from msgspec.structs import replace

from undercroft.clock import Clock
from undercroft.errors import UndercroftError
from undercroft.gateway.call import Call, Handler, Trail, kind_of
from undercroft.gateway.catalogue import Catalogue
from undercroft.gateway.course import Course, course
from undercroft.gateway.policy import MAX_ATTEMPTS, Policy
from undercroft.llm.reply import Reply


def candidates(policy: Policy, way: Course) -> tuple[str, ...]:
    """The models that may answer instead, in order. What was refused for its content goes nowhere by default."""
    match way:
        case Course.AGAIN | Course.ELSEWHERE:
            return policy.fallbacks
        case Course.LONGER_CONTEXT:
            return policy.fallbacks_on_context
        case Course.OTHER_POLICY:
            return policy.fallbacks_on_policy
        case Course.NOWHERE:
            return ()


class Fallback:
    """Asks the model's fallbacks in order when it has failed for good.

    Attempts go on counting from the first model. A fallback's own fallbacks are not followed: the list that the
    operator wrote for the model is the whole plan. When all fail, the first failure is the one that is told.
    """

    def __init__(self, catalogue: Catalogue, *, clock: Clock) -> None:
        self._catalogue = catalogue
        self._clock = clock

    async def __call__(self, call: Call, proceed: Handler, /) -> Reply:
        try:
            return await proceed(call)
        except UndercroftError as error:
            names = _names(call.trail, error)
            if not names:
                raise
            reply = await self._ask_others(call, proceed, names)
            if reply is None:
                raise
            return reply

    async def _ask_others(self, call: Call, proceed: Handler, names: tuple[str, ...]) -> Reply | None:
        trail = call.trail
        for name in names:
            if trail.attempts >= MAX_ATTEMPTS or self._clock.monotonic() >= call.deadline:
                break
            target = self._catalogue.find(name, kind_of(call.request))
            trail.asked = trail.asked or trail.found
            trail.found = target
            try:
                return await proceed(replace(call, request=replace(call.request, model=target.name)))
            except UndercroftError:
                continue  # the first failure is the one that is told
        return None


def _names(trail: Trail, error: UndercroftError) -> tuple[str, ...]:
    """Whom to ask after this failure, without the one that has just failed."""
    asked = trail.asked or trail.found
    if asked is None or trail.found is None:
        return ()
    return tuple(name for name in candidates(asked.policy, course(error)) if name != trail.found.name)
