"""What answers for which name, in memory: read anew when something was moved, looked up on every call."""

from collections.abc import Sequence

import msgspec
from sqlalchemy import Connection, select

from undercroft.releases.repository import released, rolled_out
from undercroft.releases.traffic import Traffic
from undercroft.releases.types import Release, Rollout
from undercroft.storage.schema import release_aliases, releases, rollouts
from undercroft.versions.content import (
    GuardrailContent,
    Kind,
    ModelContent,
    PromptContent,
    RetrievalContent,
    Version,
)
from undercroft.versions.pinned import Pinned
from undercroft.versions.repository import chosen, listed_everywhere

Named = tuple[str, str]
"""Organisation and name."""


class Snapshot(msgspec.Struct, frozen=True, kw_only=True):
    """Everything at one moment. A call is answered out of one snapshot."""

    traffic: dict[Named, Traffic] = {}
    releases: dict[Named, Pinned] = {}
    versions: dict[tuple[str, Kind, str], tuple[Version, ...]] = {}
    """Of each name, newest first."""
    running: int = 0
    """Rollouts that somebody must look after."""

    @property
    def is_empty(self) -> bool:
        return not self.versions and not self.traffic


def load(connection: Connection) -> Snapshot:
    """Reads all of it."""
    versions: dict[tuple[str, Kind, str], list[Version]] = {}
    for version in listed_everywhere(connection):
        versions.setdefault((version.organisation, version.kind, version.name), []).append(version)
    known = {key: tuple(of_name) for key, of_name in versions.items()}
    pinned = {
        (row.organisation, row.id): pin(released(row), row.organisation, known)
        for row in connection.execute(select(releases))
    }
    under_way = [
        rolled_out(row)
        for row in connection.execute(select(rollouts).where(rollouts.c.state.in_(("running", "paused"))))
    ]
    moving = {(each.organisation, each.alias): each for each in under_way}
    traffic = {}
    for row in connection.execute(select(release_aliases)):
        key = (row.organisation, row.alias)
        traffic[key] = traffic_of(row.current, row.organisation, pinned, moving.get(key))
    return Snapshot(
        traffic=traffic,
        releases=pinned,
        versions=known,
        running=sum(each.state == "running" for each in under_way),
    )


def traffic_of(current: str, organisation: str, pinned: dict[Named, Pinned], rollout: Rollout | None) -> Traffic:
    """Who is answered by what, of one alias."""
    stable = pinned[organisation, current]
    if rollout is None:
        return Traffic(stable=stable)
    return Traffic(
        stable=stable,
        candidate=pinned[organisation, rollout.candidate],
        share=rollout.now.share,
        mirror=rollout.now.mirror,
        sticky=rollout.plan.sticky,
        salt=rollout.id.encode(),
    )


def pin(release: Release, organisation: str, versions: dict[tuple[str, Kind, str], tuple[Version, ...]]) -> Pinned:
    """A release with its contents looked up."""
    manifest = release.manifest

    def content(kind: Kind, reference: str | None) -> object:
        if reference is None:
            return None
        name, _, digest = reference.partition("@")
        return chosen(versions.get((organisation, kind, name), ()), kind, name, digest).content

    model, prompt = content("model", manifest.model), content("prompt", manifest.prompt)
    retrieval, guardrail = content("retrieval", manifest.retrieval), content("guardrail", manifest.guardrail)
    return Pinned(
        id=release.id,
        alias=manifest.alias,
        model=model if isinstance(model, ModelContent) else None,
        prompt=prompt if isinstance(prompt, PromptContent) else None,
        retrieval=retrieval if isinstance(retrieval, RetrievalContent) else None,
        guardrail=guardrail if isinstance(guardrail, GuardrailContent) else None,
    )


class Book:
    """The snapshot in force in this process."""

    def __init__(self) -> None:
        self.snapshot = Snapshot()
        self.is_empty = True
        """Kept beside the snapshot: it is asked on every call."""

    def replace(self, snapshot: Snapshot) -> None:
        """From now on this answers. Calls that have begun keep what they were given."""
        self.snapshot, self.is_empty = snapshot, snapshot.is_empty

    def traffic(self, organisation: str, alias: str, /) -> Traffic | None:
        """Who is answered by what; None for a name without a release."""
        return self.snapshot.traffic.get((organisation, alias))

    def version(self, organisation: str, name: str, reference: str, /) -> Pinned | None:
        """What `name@reference` means: a release of the alias, `stable`, `candidate`, or a version of the model by
        label or address. None where nothing has that name. Raises NotFound and Conflict."""
        snapshot = self.snapshot
        release = snapshot.releases.get((organisation, reference))
        if release is not None and release.alias == name:
            return release
        traffic = snapshot.traffic.get((organisation, name))
        if traffic is not None and reference in ("stable", "candidate"):
            return traffic.stable if reference == "stable" else traffic.candidate
        versions = snapshot.versions.get((organisation, "model", name))
        if versions is None:
            return None
        version = chosen(versions, "model", name, reference)
        assert isinstance(version.content, ModelContent), "its kind is model"
        return Pinned(id=f"{name}@{version.short}", alias=name, model=version.content)

    def prompt(self, organisation: str, name: str, reference: str, /) -> tuple[str, PromptContent]:
        """A prompt by label or address, and what to book it under. Raises NotFound and Conflict."""
        versions: Sequence[Version] = self.snapshot.versions.get((organisation, "prompt", name), ())
        version = chosen(versions, "prompt", name, reference)
        assert isinstance(version.content, PromptContent), "its kind is prompt"
        return f"{name}@{version.short}", version.content

    def is_named(self, name: str, /) -> bool:
        """Whether any organisation has a release, or a version of a model, that is asked for in this way."""
        snapshot = self.snapshot
        alias, at, _ = name.rpartition("@")
        if not at:
            return any(known == name for _, known in snapshot.traffic)
        return any(known == alias for _, known in snapshot.traffic) or any(
            kind == "model" and known == alias for _, kind, known in snapshot.versions
        )
