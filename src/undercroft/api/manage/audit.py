"""`/api/v1/audit`: who changed what."""

from functools import partial
from typing import Annotated, Any

import msgspec
from fastapi import APIRouter, Query
from pydantic import BaseModel

from undercroft.access.audit import Entry, entries_of, verify
from undercroft.api.manage.asking import organisation
from undercroft.assembly import Undercroft
from undercroft.clock import rfc3339


class AuditEntry(BaseModel):
    """One act of management."""

    number: int
    at: str
    actor: str
    address: str
    """Where it came from; empty for the command line."""
    action: str
    subject: str
    request_id: str
    before: Any = None
    after: Any = None
    hash: str


class AuditPage(BaseModel):
    """Entries, the latest first."""

    data: list[AuditEntry]
    has_more: bool


class AuditVerdict(BaseModel):
    """What a verification of the whole log came to."""

    entries: int
    head: str
    fault: str
    """Empty when nothing is amiss."""


def router(undercroft: Undercroft) -> APIRouter:
    routes = APIRouter()

    @routes.get("/audit")
    async def entries(
        before: Annotated[int | None, Query(ge=1, lt=2**53)] = None,
        limit: Annotated[int, Query(ge=1, le=1000)] = 100,
        action: Annotated[str, Query(max_length=100)] = "",
    ) -> AuditPage:
        """What was changed in the organisation, the latest first: who, what, from where, before and after."""
        work = partial(entries_of, organisation=organisation(), before=before, limit=limit + 1, action=action)
        found = await undercroft.link.read(work)
        return AuditPage(data=[_view(each) for each in found[:limit]], has_more=len(found) > limit)

    @routes.get("/audit/verify")
    async def verdict(head: Annotated[str, Query(pattern=r"^([0-9a-f]{64})?$")] = "") -> AuditVerdict:
        """Looks for entries that were changed, removed or put in; `head` is one noted earlier."""
        found = await undercroft.link.read(partial(verify, expected_head=head))
        return AuditVerdict(entries=found.entries, head=found.head, fault=found.fault)

    return routes


def _view(entry: Entry) -> AuditEntry:
    details = msgspec.json.decode(entry.details)
    return AuditEntry(
        number=entry.number,
        at=rfc3339(entry.at_us),
        actor=entry.actor,
        address=entry.address,
        action=entry.action,
        subject=entry.subject,
        request_id=entry.request,
        before=details.get("before"),
        after=details.get("after", details.get("cut")),
        hash=entry.hash.hex(),
    )
