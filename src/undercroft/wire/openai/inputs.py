"""The four ways completions and embeddings take text: a string, several, token ids, several lists of them."""

from collections.abc import Sequence
from typing import Annotated

from msgspec import Meta

from undercroft.wire.body import empty_array, invalid

TokenId = Annotated[int, Meta(ge=0, le=2**31 - 1)]
Inputs = str | list[str | TokenId | list[TokenId]]

Pieces = tuple[str | tuple[int, ...], ...]


def pieces_of(inputs: Inputs, param: str) -> Pieces:
    """Each input by itself: a list of numbers is one input. Raises InvalidRequest for empty and mixed lists."""
    if isinstance(inputs, str):
        return (inputs,)
    if not inputs:
        raise empty_array(param)
    if all(isinstance(piece, str) for piece in inputs):
        return tuple(inputs)  # type: ignore[arg-type]  # mypy does not narrow through all()
    if all(isinstance(piece, int) for piece in inputs):
        return (tuple(inputs),)  # type: ignore[arg-type]  # as above
    pieces = []
    for position, piece in enumerate(inputs):
        if not isinstance(piece, list):
            raise invalid(
                f"Invalid '{param}': strings, token ids and arrays of token ids cannot be mixed in one array.",
                param=param,
                code="invalid_type",
            )
        if not piece:
            raise empty_array(f"{param}[{position}]")
        pieces.append(tuple(piece))
    return tuple(pieces)


def written(pieces: Sequence[str | tuple[int, ...]]) -> object:
    """The reverse, for a provider."""
    return pieces[0] if len(pieces) == 1 else list(pieces)
