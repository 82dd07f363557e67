"""OpenAI's moderations: texts and images in, one verdict for each text or for all parts together."""

from collections.abc import Mapping
from typing import Any, Final, Literal, get_args

import msgspec

from undercroft.errors import UpstreamGarbled
from undercroft.llm.types import Chunk, ModerationRequest, Part, Source, Verdict
from undercroft.settings.model import ModerationCategory
from undercroft.wire.body import empty_array, invalid, missing, read, too_long, wrong_type
from undercroft.wire.openai import upstream

CATEGORIES: Final[tuple[str, ...]] = get_args(ModerationCategory)

MAX_INPUTS: Final = 2048
"""As many as embeddings take: OpenAI names no number, and there must be an end."""

ForText = list[Literal["text"]]
ForBoth = list[Literal["text", "image"]]

_WIRE_NAMES: Final = {name.replace("-", "_").replace("/", "_"): name for name in CATEGORIES}


class ModerationCategories(msgspec.Struct, kw_only=True, rename=_WIRE_NAMES):
    """Which categories apply. The two newest are null from a model that does not know them."""

    harassment: bool
    harassment_threatening: bool
    hate: bool
    hate_threatening: bool
    illicit: bool | None
    illicit_violent: bool | None
    self_harm: bool
    self_harm_instructions: bool
    self_harm_intent: bool
    sexual: bool
    sexual_minors: bool
    violence: bool
    violence_graphic: bool


class ModerationScores(msgspec.Struct, kw_only=True, rename=_WIRE_NAMES):
    """How sure the model is of each category, from 0 to 1."""

    harassment: float
    harassment_threatening: float
    hate: float
    hate_threatening: float
    illicit: float
    illicit_violent: float
    self_harm: float
    self_harm_instructions: float
    self_harm_intent: float
    sexual: float
    sexual_minors: float
    violence: float
    violence_graphic: float


class ModerationInputTypes(msgspec.Struct, kw_only=True, rename=_WIRE_NAMES):
    """Which kinds of input each category was judged by."""

    harassment: ForText
    harassment_threatening: ForText
    hate: ForText
    hate_threatening: ForText
    illicit: ForText
    illicit_violent: ForText
    self_harm: ForBoth
    self_harm_instructions: ForBoth
    self_harm_intent: ForBoth
    sexual: ForBoth
    sexual_minors: ForText
    violence: ForBoth
    violence_graphic: ForBoth


class ModerationResult(msgspec.Struct, kw_only=True):
    """The verdict on one input. A provider's further categories are passed on."""

    flagged: bool
    categories: ModerationCategories
    category_scores: ModerationScores
    category_applied_input_types: ModerationInputTypes


class ModerationAnswer(msgspec.Struct, kw_only=True):
    """One verdict for each text, or one for all parts together."""

    id: str
    model: str
    results: list[ModerationResult]


class ModerationsBody(msgspec.Struct, kw_only=True):
    """The fields of a request that undercroft reads; all others ride along in its source."""

    input: str | list[str | dict[str, Any]]
    model: str | None = None


_decoder = msgspec.json.Decoder(ModerationsBody)
_encode = msgspec.json.Encoder().encode


def decode(body: bytes) -> ModerationRequest:
    """The request, or InvalidRequest in OpenAI's words. `model` is empty where the caller named none."""
    asked = read(_decoder, body)
    return ModerationRequest(
        model=asked.model or "", inputs=_inputs(asked.input), source=Source("openai.moderations", body)
    )


def _inputs(given: str | list[str | dict[str, Any]]) -> tuple[str | tuple[Part, ...], ...]:
    """Each text by itself; parts are one input together."""
    if isinstance(given, str):
        return (given,)
    if not given:
        raise empty_array("input")
    if len(given) > MAX_INPUTS:
        raise too_long("input", maximum=MAX_INPUTS, got=len(given))
    texts = [piece for piece in given if isinstance(piece, str)]
    if len(texts) == len(given):
        return tuple(texts)
    if texts:
        raise invalid(
            "Invalid 'input': strings and objects cannot be mixed in one array.", param="input", code="invalid_type"
        )
    return (tuple([_part(part, f"input[{at}]") for at, part in enumerate(given) if isinstance(part, dict)]),)


def _part(part: dict[str, Any], where: str) -> Part:
    """Text and images are looked at; what else a provider may judge is passed on."""
    kind = _named(part, "type", where)
    if kind == "text":
        return Part(type=kind, text=_named(part, "text", where))
    if kind == "image_url":
        image = part.get("image_url")
        if image is None:
            raise missing(f"{where}.image_url")
        if not isinstance(image, dict):
            raise wrong_type(f"{where}.image_url", wanted="an object", got=image)
        _named(image, "url", f"{where}.image_url")
    return Part(type=kind, data=part)


def _named(fields: Mapping[str, Any], name: str, where: str) -> str:
    value = fields.get(name)
    if value is None:
        raise missing(f"{where}.{name}")
    if not isinstance(value, str):
        raise wrong_type(f"{where}.{name}", wanted="a string", got=value)
    return value


def whole(chunk: Chunk, *, id: str, model: str) -> bytes:
    """The body of the answer: the provider's own where `decode_whole` found it complete."""
    if chunk.source is not None and chunk.dialect is None:
        return chunk.source
    return _encode({"id": id, "model": model, "results": [_result(verdict) for verdict in chunk.verdicts]})


def _result(verdict: Verdict) -> dict[str, object]:
    """All categories, whichever the model knows."""
    blank = dict.fromkeys(CATEGORIES, False) | {"illicit": None, "illicit/violent": None}
    return {
        "flagged": verdict.flagged,
        "categories": {**blank, **verdict.categories},
        "category_scores": {**dict.fromkeys(CATEGORIES, 0.0), **verdict.scores},
        "category_applied_input_types": {**{name: [] for name in CATEGORIES}, **verdict.applied_to},
    }


def encode_request(request: ModerationRequest, *, model: str) -> bytes:
    """The provider's request: the caller's own bytes under the provider's model name, or written anew."""
    if request.source is not None and request.source.dialect == "openai.moderations":
        return upstream.rewritten(request.source.body, model=model, ask_usage=False)
    pieces = [piece if isinstance(piece, str) else [_written(part) for part in piece] for piece in request.inputs]
    return _encode({"model": model, "input": pieces[0] if len(pieces) == 1 else pieces})


def _written(part: Part) -> dict[str, Any]:
    return part.data if part.data is not None else {"type": part.type, part.type: part.text}


class ResultBody(msgspec.Struct, gc=False):
    """One verdict. Older models tell no input types, and null for a category they do not know."""

    flagged: bool
    categories: dict[str, bool | None]
    category_scores: dict[str, float | None]
    category_applied_input_types: dict[str, list[str]] | None = None


class ModerationAnswerBody(upstream.AnswerBody, gc=False):
    """What is read of an answer; the rest rides along in its source."""

    id: str | None = None
    results: list[ResultBody] | None = None


_answer_decoder = msgspec.json.Decoder(ModerationAnswerBody)


def decode_whole(body: bytes) -> Chunk:
    """An answer, with its source if it says all that the format promises.

    Raises the error it holds, or UpstreamGarbled.
    """
    answer = upstream.read(_answer_decoder, body)
    if not answer.results:
        raise UpstreamGarbled("The provider's answer has no verdicts.")
    is_complete = bool(answer.id and answer.model) and all(_is_complete(result) for result in answer.results)
    return Chunk(
        verdicts=tuple([_verdict(result) for result in answer.results]),
        usage=upstream.usage_of(answer.usage),
        model=answer.model or "",
        source=body if is_complete else None,
        whole=True,
    )


def _is_complete(result: ResultBody) -> bool:
    told = result.category_applied_input_types
    return told is not None and all(
        name in result.categories and result.category_scores.get(name) is not None and name in told
        for name in CATEGORIES
    )


def _verdict(result: ResultBody) -> Verdict:
    return Verdict(
        flagged=result.flagged,
        categories={name: applies for name, applies in result.categories.items() if applies is not None},
        scores={name: score for name, score in result.category_scores.items() if score is not None},
        applied_to=result.category_applied_input_types or {},
    )
