"""Google's Gemini: `encode_*` write requests for it, the others read what it answers. No caller speaks this format."""

from undercroft.wire.gemini.answer import Reading, decode_whole
from undercroft.wire.gemini.embeddings import decode_embeddings, encode_embeddings
from undercroft.wire.gemini.failures import decode_error
from undercroft.wire.gemini.request import encode_request

__all__ = ["Reading", "decode_embeddings", "decode_error", "decode_whole", "encode_embeddings", "encode_request"]
