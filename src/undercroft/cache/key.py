"""What makes two calls the same: everything that may change the answer, and whose it is."""

import hashlib
from collections.abc import Iterable
from typing import Any, Final

import msgspec

from undercroft.llm.types import ChatRequest, Request, Source

PREFIX: Final = "cache_"
_DIGEST_BYTES: Final = 16
_LABELS: Final = ("model", "user", "metadata", "safety_identifier", "prompt_cache_key", "store")
"""Fields of a body that change no answer; the model stands in the key by its public name."""
_CONVERSATIONS: Final = ("messages", "input", "prompt")

_fields = msgspec.json.Decoder(dict[str, Any])
_canonical = msgspec.json.Encoder(order="deterministic")
_packed = msgspec.msgpack.Encoder()


class Place(msgspec.Struct, frozen=True, array_like=True):
    """Whose answer it is, and who gives it."""

    organisation: str
    endpoint: str
    answers: str
    """The model and the deployments behind it: another configuration's answers are not this one's."""
    wish: tuple[str, ...] = ()
    """What the caller said about where it is answered."""


class Keys:
    """Makes ids of answers: a keyed hash, so that nobody who sees an id can try out what was asked.

    Processes that share a store share the `secret`.
    """

    def __init__(self, secret: bytes) -> None:
        self._secret = hashlib.sha256(secret).digest()

    def id_of(self, request: Request, place: Place) -> str:
        """Equal for calls that ask the same in the same place."""
        source = request.source
        return self.of(place, _plain(request)) if source is None else self.id_of_body(source, place)

    def id_of_body(self, source: Source, place: Place) -> str:
        """The same of a call that came as that."""
        return self.of(place, _written(source))

    def around_of(self, request: Request, source: Source | None, place: Place) -> str:
        """The same for what stands around a question: `request` without it, and of `source` all but the conversation
        (a field that we do not know may change the answer too)."""
        return self.of(place, _plain(request), None if source is None else _written(source, without=_CONVERSATIONS))

    def of(self, *parts: object) -> str:
        """The id of anything that MessagePack can hold."""
        digest = hashlib.blake2b(_packed.encode(parts), digest_size=_DIGEST_BYTES, key=self._secret)
        return PREFIX + digest.hexdigest()


def _written(source: Source, *, without: Iterable[str] = ()) -> tuple[bytes, object]:
    """The body with its fields in order, whatever the caller's spelling of the JSON."""
    fields = _fields.decode(source.body)
    for label in (*_LABELS, *without):
        fields.pop(label, None)
    return _canonical.encode(fields), (source.dialect, source.headers)


def _plain(request: Request) -> tuple[bytes, object]:
    """A request that no body stands behind: from Python, or from a query string."""
    bare = msgspec.structs.replace(request, model="", end_user="")
    if isinstance(bare, ChatRequest):
        bare = msgspec.structs.replace(bare, metadata=None, store=False)
    return _canonical.encode(bare), type(request).__name__
