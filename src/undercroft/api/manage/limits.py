"""`/api/v1/limits`: what an organisation, a team or a user may use, all its keys together."""

from collections.abc import Iterable, Iterator
from functools import partial
from typing import Annotated, Literal

from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict, Field

from undercroft.api.manage.asking import asking, organisation
from undercroft.assembly import Undercroft
from undercroft.assembly.keys import LimitState
from undercroft.assembly.subjects import Group, act_of, change, show
from undercroft.clock import rfc3339
from undercroft.errors import InvalidRequest
from undercroft.ledger.limits import NEVER_US, Limit, Measure, limits_from
from undercroft.money import format_usd, parse_usd
from undercroft.storage.counters import KEYS

Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9._@:/-]{1,100}$")]
Positive = Annotated[int, Field(gt=0, lt=2**53)]
Usd = Annotated[str, Field(pattern=r"^[0-9]{1,9}(\.[0-9]{1,9})?$", examples=["10.00"])]


class LimitBody(BaseModel):
    """What may be used in a period (UTC): at least one of the four."""

    model_config = ConfigDict(extra="forbid")

    period: Literal["minute", "hour", "day", "week", "month", "total"] = "minute"
    model: str | None = Field(default=None, min_length=1)
    """A public model name; default: all models together."""
    requests: Positive | None = None
    tokens: Positive | None = None
    spend: Usd | None = None
    concurrent: Positive | None = None

    def limits(self) -> Iterator[Limit]:
        amounts: dict[Measure, int | None] = {
            "requests": self.requests,
            "tokens": self.tokens,
            "spend": None if self.spend is None else parse_usd(self.spend),
            "concurrent": self.concurrent,
        }
        if all(amount is None for amount in amounts.values()):
            raise InvalidRequest("A limit names requests, tokens, spend or concurrent.", param="limits")
        yield from limits_from(amounts, scope="key", period=self.period, model=self.model or "")


class LimitView(BaseModel):
    """A limit, and how much of it is used up in its present period, calls under way not counted."""

    measure: Measure
    period: str
    model: str | None
    amount: str
    used: str
    renews_at: str | None


class LimitsBody(BaseModel):
    """All limits there are to be; none: nothing is limited here."""

    model_config = ConfigDict(extra="forbid")

    limits: list[LimitBody] = Field(max_length=20)


class LimitList(BaseModel):
    """All limits of an organisation, a team or a user."""

    data: list[LimitView]


def router(undercroft: Undercroft) -> APIRouter:
    routes = APIRouter()
    link, now_us = undercroft.link, undercroft.clock.now_us

    @routes.get("/limits/{group}/{subject}")
    async def limits(group: Group, subject: Name) -> LimitList:
        """What an organisation, a team or a user may use by what was set here, and has used. Rules of the settings
        file and limits of keys hold besides."""
        work = partial(show, group=group, subject=subject, organisation=organisation(), now_us=now_us())
        return LimitList(data=views(await link.read(work)))

    @routes.put("/limits/{group}/{subject}")
    async def set_limits(group: Group, subject: Name, body: LimitsBody) -> LimitList:
        """Replaces all limits that were set here. What has been used in the present periods stays counted."""
        ask, limits = asking(), limits_in(body.limits)
        work = partial(
            change, group=group, subject=subject, limits=limits, organisation=organisation(), now_us=now_us()
        )
        act = act_of(group, subject, limits)
        states = await undercroft.access.change(work, lambda _: act, origin=ask.origin)
        ask.is_written = True
        await link.changed(KEYS)
        return LimitList(data=views(states))

    return routes


def limits_in(bodies: Iterable[LimitBody]) -> list[Limit]:
    """Whoever they are for. Raises InvalidRequest where one is said twice."""
    limits = [limit for body in bodies for limit in body.limits()]
    places = {(limit.measure, limit.period, limit.model) for limit in limits}
    if len(places) < len(limits):
        raise InvalidRequest("Two limits are for the same measure, period and model.", param="limits")
    return limits


def views(states: Iterable[LimitState]) -> list[LimitView]:
    """As the API shows them."""
    return [
        LimitView(
            measure=each.limit.measure,
            period=each.limit.period,
            model=each.limit.model or None,
            amount=_amount(each.limit.measure, each.limit.amount),
            used=_amount(each.limit.measure, each.used),
            renews_at=None if each.renews_us >= NEVER_US else rfc3339(each.renews_us),
        )
        for each in states
    ]


def _amount(measure: Measure, amount: int) -> str:
    return format_usd(amount) if measure == "spend" else str(amount)
