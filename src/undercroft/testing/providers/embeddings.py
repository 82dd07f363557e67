"""What an EmbeddingProvider owes."""

import asyncio
from collections.abc import Sequence

from undercroft.llm.types import EmbeddingsRequest
from undercroft.testing.providers.asking import answer_of, expect
from undercroft.testing.providers.subject import Subject

_TEXTS = ("A cat sits on the mat.", "Stock prices fell sharply today.", "A kitten lies on the rug.")


async def every_input_gets_a_vector_in_order(subject: Subject) -> None:
    together = await answer_of(subject, EmbeddingsRequest(model=subject.model, inputs=_TEXTS))
    expect(len(together.vectors) == len(_TEXTS), f"{len(together.vectors)} vectors for {len(_TEXTS)} inputs")
    for position, text in enumerate(_TEXTS):
        alone = (await answer_of(subject, EmbeddingsRequest(model=subject.model, inputs=(text,)))).vectors[0]
        likeness = [_cosine(alone, vector) for vector in together.vectors]
        expect(likeness.index(max(likeness)) == position, f"input {position} came back as {likeness}")


async def vectors_are_float32_of_one_width(subject: Subject) -> None:
    answer = await answer_of(subject, EmbeddingsRequest(model=subject.model, inputs=_TEXTS))
    expect(all(vector.format == "f" for vector in answer.vectors), "a vector is not a memoryview of format 'f'")
    expect(len({len(vector) for vector in answer.vectors}) == 1, "vectors differ in width")
    expect(answer.usage is not None and answer.usage.input > 0, f"usage is {answer.usage}")


async def embedding_several_at_once_changes_nothing(subject: Subject) -> None:
    request = EmbeddingsRequest(model=subject.model, inputs=_TEXTS[:1])
    answers = await asyncio.gather(*(answer_of(subject, request) for _ in range(4)))
    expect(len({bytes(answer.vectors[0]) for answer in answers}) == 1, "the same input gave different vectors")


def _cosine(left: memoryview, right: memoryview) -> float:
    def dot(one: Sequence[float], other: Sequence[float]) -> float:
        return sum(x * y for x, y in zip(one, other, strict=True))

    a, b = left.tolist(), right.tolist()
    return dot(a, b) / ((dot(a, a) * dot(b, b)) ** 0.5 or 1.0)
