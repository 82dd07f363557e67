"""What one call was, in frozen and versioned form.

Every call that enters the gateway ends in exactly one `CallRecord`, appended to the local spool before the last
byte of the answer leaves. Ledger row, metrics, log line, span and events all come from it, so they agree.
`CallOpened` marks the start (a crash in the middle is still booked); `CallProgressed` keeps count of a long stream.

The three are one tagged union of arrays: a new field goes to the end, with a default, and older records still decode.
None is looked at by the garbage collector (`gc=False`): they hold texts and numbers, and thousands wait for the ledger.
"""

from collections.abc import Callable
from typing import Final

import msgspec

FORMAT: Final = 1


class Usage(msgspec.Struct, frozen=True, kw_only=True, array_like=True, gc=False):
    """Tokens of one call by class. `cache_read`, `cache_write` and `audio_input` are parts of `input`, `reasoning` and
    `audio_output` of `output`, `cache_write_long` (what is kept for an hour) of `cache_write`. Images are input tokens
    like any other.

    (OpenAI counts this way; Anthropic's input excludes the cache and is converted at the edge.)
    """

    input: int = 0
    output: int = 0
    cache_read: int = 0
    cache_write: int = 0
    reasoning: int = 0
    audio_input: int = 0
    audio_output: int = 0
    cache_write_long: int = 0

    @property
    def total(self) -> int:
        return self.input + self.output


class Who(msgspec.Struct, frozen=True, kw_only=True, array_like=True, gc=False):
    """On whose behalf a call runs. Organisation is part of every key and index."""

    organisation: str = "default"
    team: str = "default"
    user: str = "default"
    key: str = ""
    """The virtual key's public id; empty for the open door and the master key."""


class Step(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """A deployment that was asked and did not do."""

    deployment: str
    error: str
    """The failure's code."""


class CallOpened(msgspec.Struct, frozen=True, kw_only=True, array_like=True, tag=0, gc=False):
    """Written when the upstream call starts. Without a later `CallRecord` it is booked as interrupted."""

    id: str
    started_us: int
    who: Who
    endpoint: str
    model: str
    provider: str = ""
    deployment: str = ""
    estimated_input: int = 0
    format: int = FORMAT
    release: str = ""
    tags: dict[str, str] = {}


class CallProgressed(msgspec.Struct, frozen=True, kw_only=True, array_like=True, tag=1, gc=False):
    """Tokens counted so far of a stream that is still running."""

    id: str
    output: int


class CallRecord(msgspec.Struct, frozen=True, array_like=True, tag=2, gc=False):
    """One call, ended."""

    id: str
    started_us: int
    duration_us: int
    who: Who
    endpoint: str
    """The route's template, e.g. `/v1/chat/completions`."""
    model: str
    """The public name that was asked for and found; empty when the call was refused before one was known."""
    provider: str = ""
    deployment: str = ""
    upstream_model: str = ""
    """What the provider says it used."""
    release: str = ""
    status: int = 200
    error: str = ""
    """The error's code; empty when all went well."""
    attempts: int = 0
    """Upstream attempts, retries and fallbacks included; 0 when the call never left."""
    first_token_us: int = 0
    """From start to the first piece of the answer; 0 when there was none."""
    usage: Usage = Usage()
    usage_estimated: bool = False
    """The provider told no usage, or the answer was cut: counted by ourselves."""
    cost_nano: int = 0
    price: str = ""
    """Where the price came from, e.g. `genai-prices 0.2.3` or `settings`; empty: the price is unknown and cost is 0."""
    cache: str = ""
    """Where the answer came from, if not from a provider for this call alone: `hit`, `semantic`, `coalesced`. `miss`:
    from a provider, since the cache had none. Empty: the cache had no part in it."""
    streamed: bool = False
    trace: str = ""
    end_user: str = ""
    """The request's own `user` field."""
    tags: dict[str, str] = {}
    format: int = FORMAT
    saved_nano: int = 0
    """What the answer had cost when it was made, where the cache gave it."""
    held_nano: int = 0
    """What was held of budgets while it ran; 0: no budget counts it."""
    steps: tuple[Step, ...] = ()
    """The attempts that failed, in order."""
    refused: bool = False
    """The model refused to answer, or its provider's filter did."""
    chosen: str = ""
    """How its deployments were chosen among several, a line for each attempt; empty where none had a choice."""
    because: str = ""
    """Why it was turned away here, where there is more to tell than a code can: which limit, which busy deployments."""


SpoolRecord = CallOpened | CallProgressed | CallRecord

_encoder = msgspec.msgpack.Encoder()
_decoder: msgspec.msgpack.Decoder[SpoolRecord] = msgspec.msgpack.Decoder(SpoolRecord)


encode: Final[Callable[[SpoolRecord], bytes]] = _encoder.encode  # itself: what every call does twice
"""One record as MessagePack."""


def decode(data: bytes) -> SpoolRecord:
    """The reverse of `encode`; raises msgspec.DecodeError (ValidationError included) on anything else."""
    return _decoder.decode(data)
