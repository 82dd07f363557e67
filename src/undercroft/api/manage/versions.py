"""`/api/v1/prompts` and `/api/v1/versions/{kind}`: contents that never change, and labels that move between them."""

from typing import Annotated, Any

from fastapi import APIRouter, Query, Response
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

from undercroft.api.manage.asking import asking, organisation, tell
from undercroft.assembly import Undercroft
from undercroft.assembly.versions import VersionDesk, shown
from undercroft.clock import rfc3339
from undercroft.versions.content import LATEST, Kind, Version
from undercroft.versions.diff import diff


class NewVersion(BaseModel):
    """A content to keep under a name."""

    model_config = ConfigDict(extra="forbid")

    content: dict[str, Any] = Field(examples=[{"messages": [{"role": "system", "content": "Be {{tone}}."}]}])
    labels: list[str] = []
    """Labels that move to it."""
    note: str = ""


class NewPrompt(NewVersion):
    """A prompt to keep under a name."""

    name: str = Field(examples=["greeting"])


class VersionView(BaseModel):
    """A content under a name, by its address."""

    kind: Kind
    name: str
    version: str
    """The beginning of its address, by which it can be asked for."""
    digest: str
    labels: list[str]
    content: dict[str, Any]
    note: str
    author: str
    created_at: AwareDatetime


class VersionList(BaseModel):
    """Versions, newest first."""

    data: list[VersionView]


class LabelMove(BaseModel):
    """Which version a label is to mean."""

    model_config = ConfigDict(extra="forbid")

    version: str = Field(examples=["3f2a9c41d0b7"])
    """An address, its beginning, another label or `latest`."""


class VersionDiff(BaseModel):
    """What is different between two versions."""

    diff: str
    """In unified form; empty: nothing."""


def router(undercroft: Undercroft) -> APIRouter:
    routes = APIRouter()
    _prompts(routes, undercroft)
    _versions(routes, undercroft)
    return routes


def _prompts(routes: APIRouter, undercroft: Undercroft) -> None:
    @routes.get("/prompts")
    async def prompts() -> VersionList:
        """All prompts: the latest version of each, with its labels."""
        latest: dict[str, Version] = {}
        for version in await _desk(undercroft).listed("prompt"):
            latest.setdefault(version.name, version)
        return VersionList(data=[_view(each) for each in latest.values()])

    @routes.post("/prompts", status_code=201)
    async def create_prompt(new: NewPrompt) -> VersionView:
        """Keeps a prompt under a name. The same content again is the version that there is."""
        return await _keep(undercroft, "prompt", new.name, new)


def _versions(routes: APIRouter, undercroft: Undercroft) -> None:
    @routes.get("/versions/{kind}")
    async def versions(kind: Kind, name: Annotated[str | None, Query()] = None) -> VersionList:
        """All versions of a kind: model, prompt, retrieval or guardrail; of one `name`, if it is given."""
        return VersionList(data=[_view(each) for each in await _desk(undercroft).listed(kind, name)])

    @routes.post("/versions/{kind}/{name:path}/labels/{label}")
    async def move_label(kind: Kind, name: str, label: str, move: LabelMove) -> VersionView:
        """Moves a label: whoever asks for it gets this version from now on, in every process within 2 s."""
        version = await _desk(undercroft).label(kind, name, label, move.version)
        tell("version.label", f"{kind}/{name}", after={label: version.short})
        await undercroft.releases.refresh()
        return _view(version)

    @routes.delete("/versions/{kind}/{name:path}/labels/{label}", status_code=204)
    async def remove_label(kind: Kind, name: str, label: str) -> Response:
        """Takes a label away."""
        await _desk(undercroft).unlabel(kind, name, label)
        tell("version.unlabel", f"{kind}/{name}", before={"label": label})
        await undercroft.releases.refresh()
        return Response(status_code=204)

    @routes.get("/versions/{kind}/{name:path}/diff")
    async def compare(kind: Kind, name: str, before: str, after: str = LATEST) -> VersionDiff:
        """What is different between two versions, each given as label, `latest` or address."""
        desk = _desk(undercroft)
        return VersionDiff(diff=diff(await desk.find(kind, name, before), await desk.find(kind, name, after)))

    @routes.post("/versions/{kind}/{name:path}", status_code=201)
    async def create_version(kind: Kind, name: str, new: NewVersion) -> VersionView:
        """Keeps a content under a name. The same content again is the version that there is."""
        return await _keep(undercroft, kind, name, new)

    @routes.get("/versions/{kind}/{name:path}")
    async def version(kind: Kind, name: str, version: str = LATEST) -> VersionView:
        """One version, by label, `latest` or address."""
        return _view(await _desk(undercroft).find(kind, name, version))


def _desk(undercroft: Undercroft) -> VersionDesk:
    return VersionDesk(undercroft.link, organisation=organisation(), clock=undercroft.clock)


async def _keep(undercroft: Undercroft, kind: Kind, name: str, new: NewVersion) -> VersionView:
    labels, author = tuple(new.labels), asking().caller.actor
    version = await _desk(undercroft).create(kind, name, new.content, labels=labels, note=new.note, author=author)
    tell("version.create", f"{kind}/{name}", after={"version": version.short, "labels": labels})
    await undercroft.releases.refresh()
    return _view(version)


def _view(version: Version) -> VersionView:
    fields = shown(version)
    return VersionView.model_validate({**fields, "created_at": rfc3339(fields.pop("created_us"))})
