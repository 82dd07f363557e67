"""The `file_search` tool, for models that cannot search by themselves: read, answered ahead, and cited.

What was found is put before the question; a sentence of the answer that says what a passage says gets a citation of it.
"""

import re
from collections.abc import Sequence
from typing import Annotated, Any, Final

import msgspec
from msgspec import Meta

from undercroft.llm.tokens import estimate_text
from undercroft.llm.types import ChatRequest, Message, Part
from undercroft.wire.body import invalid
from undercroft.wire.openai.responses.answer import FileSearchCall, FoundInFile, OutputItem, OutputMessage, OutputText
from undercroft.wire.openai.responses.request import ResponsesBody

NAME: Final = "file_search"
RESULTS: Final = "file_search_call.results"
USUAL_RESULTS: Final = 20
"""As OpenAI has it."""
LEAST_SHARE: Final = 0.5
"""Of a sentence's words that a passage must have to be cited for it."""
LEAST_WORDS: Final = 2
SHORTEST_WORD: Final = 3
SHORTEST_STEM: Final = 4


class HybridBody(msgspec.Struct, kw_only=True):
    """How meaning and words weigh against each other."""

    embedding_weight: Annotated[float, Meta(ge=0)]
    text_weight: Annotated[float, Meta(ge=0)]


class RankingBody(msgspec.Struct, kw_only=True):
    """How what is found is ranked."""

    ranker: str | None = None
    score_threshold: Annotated[float, Meta(ge=0, le=1)] | None = None
    hybrid_search: HybridBody | None = None


class FileSearchBody(msgspec.Struct, kw_only=True):
    """The tool as it is asked for."""

    vector_store_ids: Annotated[list[str], Meta(min_length=1, max_length=16)]
    max_num_results: Annotated[int, Meta(ge=1, le=50)] = USUAL_RESULTS
    filters: dict[str, Any] | None = None
    ranking_options: RankingBody | None = None


class Cited(msgspec.Struct, frozen=True, kw_only=True):
    """A passage that may be cited."""

    file_id: str
    filename: str
    score: float
    attributes: dict[str, Any]
    text: str


class Retrieved(msgspec.Struct, frozen=True, kw_only=True):
    """What a search ahead of the answer brought."""

    queries: list[str]
    passages: tuple[Cited, ...]
    tells_results: bool
    """The caller wants to see them."""

    def call(self, id: str) -> FileSearchCall:
        """The item that tells of it."""
        results = [
            FoundInFile(
                file_id=each.file_id,
                filename=each.filename,
                score=each.score,
                attributes=each.attributes,
                text=each.text,
            )
            for each in self.passages
        ]
        return FileSearchCall(
            id=id, status="completed", queries=self.queries, results=results if self.tells_results else None
        )

    def annotations(self, text: str) -> list[dict[str, Any]]:
        """A citation at the end of each sentence that says what a passage says."""
        found = []
        for end, words in _sentences(text):
            best = max(self.passages, key=lambda each: (_share(words, each.text), each.score), default=None)
            if best is not None and len(words) >= LEAST_WORDS and _share(words, best.text) >= LEAST_SHARE:
                cited = {"type": "file_citation", "file_id": best.file_id, "filename": best.filename, "index": end}
                found.append(cited)
        return found

    def annotated(self, items: Sequence[OutputItem]) -> list[OutputItem]:
        """The items of a whole answer with their citations."""
        return [self._annotated(item) if isinstance(item, OutputMessage) else item for item in items]

    def _annotated(self, message: OutputMessage) -> OutputMessage:
        content = [
            msgspec.structs.replace(part, annotations=self.annotations(part.text))
            if isinstance(part, OutputText)
            else part
            for part in message.content
        ]
        return msgspec.structs.replace(message, content=content)


def asked_search(body: ResponsesBody) -> FileSearchBody | None:
    """The tool, if the caller asks for it and lets it be used. Raises InvalidRequest."""
    if body.tool_choice == "none":
        return None
    for place, tool in enumerate(body.tools or ()):
        if tool.get("type") == NAME:
            try:
                return msgspec.convert(tool, FileSearchBody)
            except msgspec.ValidationError as error:
                raise invalid(f"Invalid value for 'tools[{place}]': {error}.", param=f"tools[{place}]") from error
    return None


def without_search(request: ChatRequest) -> ChatRequest:
    """The request without the tool, which is used here and not by the model."""
    tools = tuple(tool for tool in request.tools if not (tool.type == "hosted" and tool.name == NAME))
    return request if len(tools) == len(request.tools) else msgspec.structs.replace(request, tools=tools)


def question_in(request: ChatRequest) -> str:
    """What the user said last."""
    said = next((message.text() for message in reversed(request.messages) if message.role == "user"), "")
    return said.strip()


def with_passages(request: ChatRequest, retrieved: Retrieved, *, most_tokens: int) -> tuple[ChatRequest, Retrieved]:
    """The question behind what was found, as much as fits into so many tokens; and what of it is there to be cited."""
    kept: list[Cited] = []
    for each in retrieved.passages:
        most_tokens -= estimate_text(len(each.text)) + 8
        if most_tokens < 0 and kept:
            break
        kept.append(each)
    told = "\n\n".join(f"{each.filename}:\n{each.text}" for each in kept)
    before = f"{_FOUND}\n\n{told}\n\n{_THEN}\n\n" if kept else f"{_NOTHING}\n\n"
    last = max(place for place, message in enumerate(request.messages) if message.role == "user")
    messages = [*request.messages]
    messages[last] = _behind(before, messages[last])
    fitting = msgspec.structs.replace(retrieved, passages=tuple(kept))
    return msgspec.structs.replace(without_search(request), messages=tuple(messages)), fitting


_FOUND: Final = "These passages were found in the files:"
_THEN: Final = "Answer from these passages. If they do not say it, say so."
_NOTHING: Final = "Nothing was found in the files. Say so, if the question is about them."


def _behind(before: str, message: Message) -> Message:
    content = message.content
    if content is None or isinstance(content, str):
        return msgspec.structs.replace(message, content=before + (content or ""))
    return msgspec.structs.replace(message, content=(Part(type="text", text=before), *content))


def _sentences(text: str) -> list[tuple[int, frozenset[str]]]:
    """Where each sentence ends, and its words."""
    ends = [match.start() for match in re.finditer(r"(?<=[.!?])(?=\s)|\n+", text)]
    if not ends or ends[-1] < len(text.rstrip()):
        ends.append(len(text.rstrip()))
    starts = [0, *ends[:-1]]
    return [(end, _words(text[start:end])) for start, end in zip(starts, ends, strict=True) if text[start:end].strip()]


def _words(text: str) -> frozenset[str]:
    return frozenset(_stem(word) for word in re.findall(r"\w+", text.lower()) if len(word) >= SHORTEST_WORD)


def _stem(word: str) -> str:
    for ending in ("ing", "ed", "es", "s"):
        if word.endswith(ending) and len(word) - len(ending) >= SHORTEST_STEM:
            return word.removesuffix(ending)
    return word


def _share(words: frozenset[str], passage: str) -> float:
    return len(words & _words(passage)) / len(words) if words else 0.0
