"""`/api/v1/usage`: what was used, what it cost, and where that leads."""

from functools import partial
from typing import Literal

from fastapi import APIRouter, Response
from pydantic import AwareDatetime, BaseModel

from undercroft.api.manage.asking import organisation
from undercroft.assembly import Undercroft
from undercroft.errors import InvalidRequest
from undercroft.ledger.export import as_csv
from undercroft.ledger.outlook import BudgetOutlook, budgets, spend_today
from undercroft.ledger.usage import UsageLine, grouping_of, sum_usage
from undercroft.money import format_usd


class UsageRow(BaseModel):
    """Sums over the calls of one group."""

    group: str
    calls: int
    errors: int
    input_tokens: int
    output_tokens: int
    cache_read_tokens: int
    cache_write_tokens: int
    reasoning_tokens: int
    cost_usd: str
    """Exact, as a decimal string."""
    unpriced_calls: int
    """Calls whose model has no known price; they are in no cost."""
    estimated_calls: int
    """Calls whose tokens were counted by undercroft: their provider did not say."""


class UsageReport(BaseModel):
    """A row a group, and one for all of them, which is their sum."""

    by: str
    data: list[UsageRow]
    total: UsageRow | None
    """null: nothing was used."""


class Budget(BaseModel):
    """One budget in the period that runs, and what comes of it at this pace."""

    budget: str
    subject: str
    used_usd: str
    amount_usd: str
    ends_at: str | None
    forecast_usd: str | None
    """What will be used by `ends_at`; null: it does not end."""
    spent_at: str | None
    """When it will be used up; null: not before it begins anew."""


class Today(BaseModel):
    """Today, up to now, against the same hours of the seven days before (UTC)."""

    cost_usd: str
    usual_usd: str
    """The mean of those days."""
    days_before_usd: list[str]
    """The day before first."""
    is_anomalous: bool
    """More than three standard deviations, and half as much again, above the mean."""


class Outlook(BaseModel):
    """Where spending goes from here."""

    today: Today
    budgets: list[Budget]


def router(undercroft: Undercroft) -> APIRouter:
    routes = APIRouter()

    @routes.get("/usage", response_model=UsageReport, responses={200: {"content": {"text/csv": {}}}})
    async def usage(
        by: str = "model",
        since: AwareDatetime | None = None,
        until: AwareDatetime | None = None,
        format: Literal["json", "csv"] = "json",
    ) -> UsageReport | Response:
        """What was used and what it cost, exact to the nano-dollar: `undercroft usage`.

        `by` is key, user, team, model, provider, endpoint, hour, day or tag:NAME (the call's, or its key's).
        """
        try:
            group, tag = grouping_of(by)
        except ValueError as error:
            raise InvalidRequest(f"by {error}", param="by") from error
        query = partial(
            sum_usage,
            organisation=organisation(),
            since_us=round(since.timestamp() * 1_000_000) if since else None,
            until_us=round(until.timestamp() * 1_000_000) if until else None,
        )
        lines = await undercroft.link.read(partial(query, by=group, tag=tag))
        if format == "csv":
            return Response(as_csv(by, lines), media_type="text/csv; charset=utf-8")
        totals = await undercroft.link.read(query)
        return UsageReport(by=by, data=[_row(line) for line in lines], total=_row(totals[0]) if totals else None)

    @routes.get("/usage/outlook")
    async def outlook() -> Outlook:
        """What will be left of each budget at this pace, and whether today is out of the ordinary."""
        now_us = undercroft.clock.now_us()
        today = await undercroft.link.read(partial(spend_today, organisation=organisation(), now_us=now_us))
        written = undercroft.limits.written
        found = await undercroft.link.read(partial(budgets, limits=written, organisation=organisation(), now_us=now_us))
        return Outlook(
            today=Today(
                cost_usd=format_usd(today.today_nano),
                usual_usd=format_usd(today.usual_nano),
                days_before_usd=[format_usd(nano) for nano in today.days_before_nano],
                is_anomalous=today.is_anomalous,
            ),
            budgets=[_budget(each) for each in found],
        )

    return routes


def _budget(outlook: BudgetOutlook) -> Budget:
    return Budget(
        budget=outlook.budget,
        subject=outlook.subject,
        used_usd=format_usd(outlook.used_nano),
        amount_usd=format_usd(outlook.amount_nano),
        ends_at=outlook.ends_at,
        forecast_usd=None if outlook.forecast_nano is None else format_usd(outlook.forecast_nano),
        spent_at=outlook.spent_at,
    )


def _row(line: UsageLine) -> UsageRow:
    return UsageRow(
        group=line.group,
        calls=line.calls,
        errors=line.errors,
        input_tokens=line.usage.input,
        output_tokens=line.usage.output,
        cache_read_tokens=line.usage.cache_read,
        cache_write_tokens=line.usage.cache_write,
        reasoning_tokens=line.usage.reasoning,
        cost_usd=format_usd(line.cost_nano),
        unpriced_calls=line.unpriced,
        estimated_calls=line.estimated,
    )
