"""The local embedding model as a provider: MiniLM-L6 by onnxruntime, no torch."""

import asyncio
import threading
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from undercroft.errors import InvalidRequest, Unavailable, UndercroftError
from undercroft.llm.reply import Reply
from undercroft.llm.types import Chunk, EmbeddingsRequest, Usage
from undercroft.providers.local.cores import usable_cores
from undercroft.providers.local.loading import Background

DIMENSIONS = 384
MOST_TOKENS = 512
"""The model's positions. It was trained on texts of up to 256 tokens: longer ones are embedded, less well."""
BATCH_TOKENS = 512
"""Padding included: larger batches are slower (the processor's caches) and need memory by the square of the length."""
BUSY_RETRY_AFTER_S = 2.0


@dataclass(frozen=True, slots=True)
class _Model:
    tokenizer: Any
    session: Any


class LocalEmbedder:
    """Turns texts into vectors of 384 numbers of length 1. Calls take turns batch by batch.

    Each core has a batch of its own, which takes 0.7 of the time that all cores need for one batch after the other.
    """

    name = "local_embedding"

    def __init__(
        self,
        graph: Path,
        tokenizer: Path,
        *,
        label: str = "all-MiniLM-L6-v2-int8",
        queue: int = 64,
        threads: int | None = None,
        load_timeout_s: float = 30.0,
    ) -> None:
        self._label = label
        self._queue = queue
        self._threads = threads or usable_cores()
        self._model = Background(
            lambda: _load(graph, tokenizer),
            name="The local embedding model",
            timeout_s=load_timeout_s,
        )
        self._worker = ThreadPoolExecutor(max_workers=self._threads, thread_name_prefix="local-embedding")
        self._lock = threading.Lock()
        self._in_flight = 0
        self.description: Mapping[str, object] = {"context_length": MOST_TOKENS, "dimensions": DIMENSIONS}

    @property
    def state(self) -> str:
        """`idle`, `loading`, `ready`, `closed`, or `failed: ` and why."""
        return self._model.state

    @property
    def in_flight(self) -> int:
        """Calls that are worked on or wait."""
        return self._in_flight

    def start(self) -> None:
        """Begins to load; returns at once. The first call does it too."""
        self._model.start()

    async def close(self) -> None:
        await asyncio.to_thread(self._worker.shutdown, cancel_futures=True)
        await self._model.close()

    async def embed(self, request: EmbeddingsRequest, /) -> Reply:
        texts, dimensions = _texts(request), _dimensions(request)
        self._admit()
        try:
            model = await self._model.get()
            ids = await self._work(_tokenized, model, texts)
            vectors = await self._embedded(model, ids, dimensions)
        finally:
            with self._lock:
                self._in_flight -= 1
        usage = Usage(input=sum(map(len, ids)))
        return Reply(whole=Chunk(vectors=vectors, usage=usage, model=self._label))

    async def _embedded(self, model: _Model, ids: Sequence[Sequence[int]], dimensions: int) -> tuple[memoryview, ...]:
        vectors: list[memoryview | None] = [None] * len(ids)
        left = (batch for batch in batches([len(each) for each in ids]))

        async def take_batches() -> None:
            for batch in left:
                rows = await self._work(_run, model, [ids[index] for index in batch], dimensions)
                for index, row in zip(batch, rows, strict=True):
                    vectors[index] = memoryview(row)

        try:  # no more at once than there are cores: other calls come in between
            await asyncio.gather(*(take_batches() for _ in range(self._threads)))
        finally:
            left.close()  # one has failed: the others begin no more
        return tuple(vector for vector in vectors if vector is not None)

    async def _work(self, function: Any, *arguments: Any) -> Any:
        try:
            return await asyncio.get_running_loop().run_in_executor(self._worker, function, *arguments)
        except UndercroftError:
            raise
        except Exception as error:  # the runtime's own classes, or a worker that was shut down
            raise Unavailable(f"The local embedding model failed: {error}.", code="model_unavailable") from error

    def _admit(self) -> None:
        with self._lock:
            if self._in_flight >= self._queue:
                raise Unavailable(
                    f"The local embedding model is busy: {self._in_flight} calls wait.",
                    code="model_busy",
                    retry_after_s=BUSY_RETRY_AFTER_S,
                )
            self._in_flight += 1


def batches(lengths: Sequence[int]) -> list[list[int]]:
    """Indices of texts of similar length together, longest first, none with more than BATCH_TOKENS when padded."""
    order = sorted(range(len(lengths)), key=lambda index: -lengths[index])
    made: list[list[int]] = []
    for index in order:
        if not made or (len(made[-1]) + 1) * lengths[made[-1][0]] > BATCH_TOKENS:
            made.append([])
        made[-1].append(index)
    return made


def _texts(request: EmbeddingsRequest) -> list[str]:
    texts = []
    for place, given in enumerate(request.inputs):
        if not isinstance(given, str):
            raise InvalidRequest(
                "local-embedding takes text: token ids of another model's tokenizer mean other words here.",
                param=f"input[{place}]",
                hint="(LangChain: check_embedding_ctx_length=False)",
            )
        if not given:
            raise InvalidRequest("There is nothing to embed in an empty text.", param=f"input[{place}]")
        texts.append(given)
    if not texts:
        raise InvalidRequest("There is no text to embed.", param="input")
    return texts


def _dimensions(request: EmbeddingsRequest) -> int:
    wanted = request.dimensions or DIMENSIONS
    if not 1 <= wanted <= DIMENSIONS:
        raise InvalidRequest(f"local-embedding gives 1 to {DIMENSIONS} dimensions.", param="dimensions")
    return wanted


def _load(graph: Path, tokenizer: Path) -> _Model:
    try:
        import onnxruntime
        from tokenizers import Tokenizer
    except ImportError as error:
        raise ImportError(f"{error.name} is not installed; type: pip install 'undercroft[local]'") from error
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 4
    try:
        words = Tokenizer.from_file(str(tokenizer))
        session = onnxruntime.InferenceSession(str(graph), options, providers=["CPUExecutionProvider"])
    except Exception as error:
        # Both raise classes of their own, straight from Exception.
        raise RuntimeError(f"{graph.parent} does not hold a usable embedding model: {error}") from error
    words.no_truncation()
    words.no_padding()
    return _Model(tokenizer=words, session=session)


def _tokenized(model: _Model, texts: list[str]) -> list[list[int]]:
    ids = [encoding.ids for encoding in model.tokenizer.encode_batch_fast(texts)]
    for place, each in enumerate(ids):
        if len(each) > MOST_TOKENS:
            raise InvalidRequest(
                f"This model's maximum context length is {MOST_TOKENS} tokens, the text has {len(each)}.",
                code="context_length_exceeded",
                param=f"input[{place}]",
            )
    return ids


def _run(model: _Model, ids: Sequence[Sequence[int]], dimensions: int) -> Any:
    """A row of float32 for each text."""
    import numpy as np

    shape = (len(ids), max(map(len, ids)))
    padded, mask = np.zeros(shape, np.int64), np.zeros(shape, np.int64)
    for row, each in enumerate(ids):
        padded[row, : len(each)] = each
        mask[row, : len(each)] = 1
    vectors = model.session.run(None, {"input_ids": padded, "attention_mask": mask})[0]
    if dimensions < DIMENSIONS:
        vectors = vectors[:, :dimensions]
        vectors = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    return np.ascontiguousarray(vectors)
