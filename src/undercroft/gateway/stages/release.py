"""Gives a call to the release that answers for its alias, whole: everything that one release pins."""

from collections.abc import Callable
from typing import Protocol

import msgspec
from msgspec.structs import replace

from undercroft.errors import InvalidRequest, ModelNotFound
from undercroft.gateway.call import Call, Handler, kind_of
from undercroft.gateway.catalogue import Catalogue
from undercroft.gateway.sticky import Sticky, key_of
from undercroft.llm.reply import Reply
from undercroft.llm.types import ChatRequest, PromptUse, Request
from undercroft.record import Who
from undercroft.versions.content import PromptContent
from undercroft.versions.pinned import Pinned, put_on

Mirror = Callable[[Call], None]
"""Sends a call beside the one that is answered; nobody waits for it."""


class Traffic(Protocol):
    """An alias at one moment."""

    @property
    def sticky(self) -> Sticky: ...

    @property
    def stable(self) -> Pinned: ...

    @property
    def candidate(self) -> Pinned | None: ...

    def answering(self, key: bytes, /) -> Pinned: ...

    def mirrored(self, call: bytes, /) -> Pinned | None: ...


class Book(Protocol):
    """What answers for which name."""

    @property
    def is_empty(self) -> bool:
        """There is neither a version nor a release: no call needs to be looked at."""
        ...

    def traffic(self, organisation: str, alias: str, /) -> Traffic | None: ...

    def version(self, organisation: str, name: str, reference: str, /) -> Pinned | None: ...

    def prompt(self, organisation: str, name: str, reference: str, /) -> tuple[str, PromptContent]: ...

    def is_named(self, name: str, /) -> bool:
        """Whether any organisation has a release or a version that is asked for in this way."""
        ...


class Empty:
    """No releases at all."""

    is_empty = True

    def traffic(self, organisation: str, alias: str, /) -> Traffic | None:
        return None

    def version(self, organisation: str, name: str, reference: str, /) -> Pinned | None:
        return None

    def prompt(self, organisation: str, name: str, reference: str, /) -> tuple[str, PromptContent]:
        raise InvalidRequest(f"There is no prompt '{name[:100]}'.", code="version_not_found", param="prompt")

    def is_named(self, name: str, /) -> bool:
        return False


class Release:
    """Decides once a call, before anything else is known of it: what it was given stays, whatever is moved meanwhile.

    `mirror` sends a copy to a candidate that nobody is to see yet.
    """

    def __init__(self, book: Book, *, catalogue: Catalogue, mirror: Mirror) -> None:
        self._book = book
        self._catalogue = catalogue
        self._mirror = mirror

    async def __call__(self, call: Call, proceed: Handler, /) -> Reply:
        request, trail = call.request, call.trail
        name = request.model or self._catalogue.default(kind_of(request))
        pinned = self._pinned(call, name)
        if pinned is None:
            use = request.prompt if isinstance(request, ChatRequest) else None
            if use is None:
                return await proceed(call)
            pinned = Pinned(id="", alias=name)
        pinned = self._with_prompt(pinned, request, call.who)
        trail.release, trail.alias = pinned.id, pinned.alias
        return await proceed(replace(call, request=_naming(pinned, request, name), pinned=pinned))

    def may_answer(self, request: Request, who: Who) -> list[Pinned]:
        """The releases that may answer now: two while a candidate is brought out, none for a configured model. Raises
        ModelNotFound, NotFound and Conflict."""
        name = request.model or self._catalogue.default(kind_of(request))
        traffic = self._book.traffic(who.organisation, name)
        if traffic is not None:
            return [each for each in (traffic.stable, traffic.candidate) if each is not None]
        pinned = self._by_reference(who.organisation, name)
        return [] if pinned is None else [pinned]

    def _pinned(self, call: Call, name: str) -> Pinned | None:
        """What answers for a name; None for one that has no release."""
        organisation = call.who.organisation
        traffic = self._book.traffic(organisation, name)
        if traffic is not None:
            if (candidate := traffic.mirrored(call.id.encode())) is not None:
                self._mirror(replace(call, request=replace(call.request, model=f"{name}@{candidate.id}")))
            return traffic.answering(seat_of(traffic.sticky, call))
        return self._by_reference(organisation, name)

    def _by_reference(self, organisation: str, name: str) -> Pinned | None:
        """What `alias@version` means."""
        alias, at, reference = name.rpartition("@")
        if not at or self._catalogue.is_known(name):
            return None
        if reference == "candidate" and self._book.traffic(organisation, alias) is not None:
            pinned = self._book.version(organisation, alias, reference)
            if pinned is None:
                raise ModelNotFound(f"'{alias}' has no candidate at present.", param="model")
            return pinned
        return self._book.version(organisation, alias, reference)

    def _with_prompt(self, pinned: Pinned, request: Request, who: Who) -> Pinned:
        """The release with the prompt that the call names, where it names one."""
        use: PromptUse | None = request.prompt if isinstance(request, ChatRequest) else None
        if use is None or not use.name:
            return pinned
        if pinned.prompt is not None:
            raise InvalidRequest(
                f"The release of '{pinned.alias}' has a prompt of its own; give only its variables.",
                param="prompt.name",
            )
        booked, content = self._book.prompt(who.organisation, use.name, use.version)
        return msgspec.structs.replace(pinned, id=pinned.id or booked, prompt=content)


def seat_of(sticky: Sticky, call: Call) -> bytes:
    """What keeps its release: the user, or the conversation; a call that tells of neither is on its own."""
    return key_of(sticky, call.request, call.who) or key_of("conversation", call.request, call.who) or call.id.encode()


def _naming(pinned: Pinned, request: Request, name: str) -> Request:
    changed = put_on(pinned, request)
    # The name that a prompt alone was asked under is for `Find`, which says so where another model stands in.
    return replace(changed, model=request.model) if pinned.model is None and pinned.alias == name else changed
