"""`/api/v1/secrets`: provider keys that are stored encrypted."""

from functools import partial

from fastapi import APIRouter, Response
from pydantic import BaseModel, ConfigDict, Field, SecretStr

from undercroft.access.audit import Act
from undercroft.access.secret_repository import list_secrets, remove_secret, set_secret
from undercroft.access.vault import LONGEST, checked
from undercroft.api.manage.asking import asking
from undercroft.assembly import Undercroft
from undercroft.clock import rfc3339
from undercroft.storage.counters import SECRETS


class SecretBody(BaseModel):
    """The secret; it is never shown again."""

    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)

    value: SecretStr = Field(min_length=1, max_length=LONGEST)


class SecretView(BaseModel):
    """A secret, without what it is."""

    name: str
    created_at: str
    changed_at: str


class SecretList(BaseModel):
    """All secrets, by name."""

    data: list[SecretView]


class StoredSecret(BaseModel):
    """A secret that was stored."""

    name: str
    created: bool
    """False where it replaced another."""


def router(undercroft: Undercroft) -> APIRouter:
    routes = APIRouter()
    access, link, now_us = undercroft.access, undercroft.link, undercroft.clock.now_us

    @routes.get("/secrets")
    async def secrets() -> SecretList:
        """The names of all secrets."""
        rows = await link.read(partial(list_secrets, organisation="default"))
        return SecretList(
            data=[
                SecretView(name=row.name, created_at=rfc3339(row.created_us), changed_at=rfc3339(row.changed_us))
                for row in rows
            ]
        )

    @routes.put("/secrets/{name}")
    async def put_secret(name: str, body: SecretBody) -> StoredSecret:
        """Stores a secret, or replaces it; deployments with `api_key = "secret:NAME"` use it within 2 s."""
        token = access.secrets.seal(checked(name, body.value.get_secret_value()))
        work = partial(set_secret, name=name, token=token, organisation="default", now_us=now_us())
        ask = asking()
        is_new = await access.change(work, lambda _: Act(action="secret.set", subject=name), origin=ask.origin)
        ask.is_written = True
        await link.changed(SECRETS)
        return StoredSecret(name=name, created=is_new)

    @routes.delete("/secrets/{name}", status_code=204)
    async def delete_secret(name: str) -> Response:
        """Deletes a secret; deployments that name it answer 503."""
        work = partial(remove_secret, name=name, organisation="default")
        ask = asking()
        await access.change(work, lambda _: Act(action="secret.delete", subject=name), origin=ask.origin)
        ask.is_written = True
        await link.changed(SECRETS)
        return Response(status_code=204)

    return routes
