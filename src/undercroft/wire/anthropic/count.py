"""How many tokens a conversation is: the answer to a caller, and a provider's."""

import msgspec

from undercroft.errors import UpstreamGarbled


class AnthropicCount(msgspec.Struct):
    """How many tokens a conversation is."""

    input_tokens: int


_decoder = msgspec.json.Decoder(AnthropicCount)
_encode = msgspec.json.Encoder().encode


def encode_answer(tokens: int) -> bytes:
    return _encode(AnthropicCount(tokens))


def decode_answer(body: bytes) -> int:
    """What a provider counted, or UpstreamGarbled."""
    try:
        return _decoder.decode(body).input_tokens
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise UpstreamGarbled("The provider did not say how many tokens there are.") from error
