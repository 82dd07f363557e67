"""The embedder with the installed weights, and what it refuses."""

import asyncio
import base64
import json
import struct
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from tests.support.local_models import embedder
from undercroft.errors import InvalidRequest, Unavailable
from undercroft.llm.types import Chunk, EmbeddingsRequest
from undercroft.providers.local.embedder import BATCH_TOKENS, LocalEmbedder, batches

REFERENCE = Path(__file__).parent / "minilm_fp32.json"


@pytest.fixture(scope="module")
def model() -> Iterator[LocalEmbedder]:
    made = embedder()
    yield made
    asyncio.run(made.close())


def _embed(model: LocalEmbedder, *inputs: str | tuple[int, ...], dimensions: int | None = None) -> Chunk:
    async def run() -> Chunk:
        request = EmbeddingsRequest(model="local-embedding", inputs=inputs, dimensions=dimensions)
        return await (await model.embed(request)).read()

    return asyncio.run(run())


def _dot(one: Sequence[float], other: Sequence[float]) -> float:
    return sum(x * y for x, y in zip(one, other, strict=True))


def test_vectors_come_close_to_the_model_in_full_precision(model: LocalEmbedder) -> None:
    entries = json.loads(REFERENCE.read_text(encoding="utf-8"))
    answer = _embed(model, *(entry["text"] for entry in entries))
    for entry, vector in zip(entries, answer.vectors, strict=True):
        exact = [value for (value,) in struct.iter_unpack("<e", base64.b64decode(entry["vector"]))]
        assert _dot(vector.tolist(), exact) > 0.985, entry["text"]


def test_usage_counts_the_tokens_of_all_inputs(model: LocalEmbedder) -> None:
    answer = _embed(model, "fox", "the quick brown fox")
    assert answer.usage is not None
    assert answer.usage.input == 3 + 6  # with the two marks around every text


def test_fewer_dimensions_are_the_first_ones_made_long_again(model: LocalEmbedder) -> None:
    whole, short = (_embed(model, "fox", dimensions=wanted).vectors[0].tolist() for wanted in (None, 64))
    assert len(short) == 64
    assert _dot(short, short) == pytest.approx(1.0, abs=1e-5)
    length = _dot(whole[:64], whole[:64]) ** 0.5
    assert short == pytest.approx([x / length for x in whole[:64]], abs=1e-5)


def test_a_text_beyond_the_models_positions_is_refused_with_the_numbers(model: LocalEmbedder) -> None:
    assert len(_embed(model, "fox " * 510).vectors) == 1
    with pytest.raises(InvalidRequest, match=r"512 tokens, the text has 513") as caught:
        _embed(model, "short", "fox " * 511)
    assert (caught.value.code, caught.value.param) == ("context_length_exceeded", "input[1]")


@pytest.mark.parametrize(
    ("inputs", "dimensions", "param"),
    [
        ((), None, "input"),
        (("a", ""), None, "input[1]"),
        (("a", (101, 102)), None, "input[1]"),
        (("a",), 385, "dimensions"),
        (("a",), -1, "dimensions"),
    ],
)
def test_what_cannot_be_embedded_is_refused_by_name(
    model: LocalEmbedder, inputs: tuple[str | tuple[int, ...], ...], dimensions: int | None, param: str
) -> None:
    with pytest.raises(InvalidRequest) as caught:
        _embed(model, *inputs, dimensions=dimensions)
    assert caught.value.param == param


def test_a_damaged_graph_is_told_in_one_line_and_calls_get_503(tmp_path: Path) -> None:
    graph, tokenizer = tmp_path / "model.onnx", tmp_path / "tokenizer.json"
    graph.write_bytes(b"no graph")
    tokenizer.write_text("{}")
    broken = LocalEmbedder(graph, tokenizer)
    with pytest.raises(Unavailable, match="usable embedding model") as caught:
        _embed(broken, "fox")
    assert caught.value.status == 503
    assert broken.state.startswith("failed: ")
    assert "\n" not in broken.state
    asyncio.run(broken.close())


def test_calls_beyond_the_queue_are_refused_with_a_time_to_come_back() -> None:
    model = embedder(queue=2)

    async def run() -> list[object]:
        request = EmbeddingsRequest(model="local-embedding", inputs=("fox",))
        return await asyncio.gather(*(model.embed(request) for _ in range(3)), return_exceptions=True)

    refused = [outcome for outcome in asyncio.run(run()) if isinstance(outcome, BaseException)]
    assert len(refused) == 1
    assert isinstance(refused[0], Unavailable)
    assert refused[0].retry_after_s
    assert model.in_flight == 0
    asyncio.run(model.close())


def test_a_closed_embedder_says_so() -> None:
    model = embedder()
    asyncio.run(model.close())
    with pytest.raises(Unavailable):
        _embed(model, "fox")


def test_batches_hold_each_text_once_and_stay_within_their_bound() -> None:
    lengths = [3, 512, 90, 90, 511, 1, *[88] * 40]
    made = batches(lengths)
    assert sorted(index for batch in made for index in batch) == list(range(len(lengths)))
    for batch in made:
        assert len(batch) * max(lengths[index] for index in batch) <= BATCH_TOKENS
