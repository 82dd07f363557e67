"""The int8 graph against a forward pass of its own in float64, on a small model of the same shape."""

from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from tests.support.tiny_minilm import HEADS, LAYERS, WIDTH, WORDS, Weights, write_tiny_minilm
from undercroft.providers.local.onnx_graph import build, read_safetensors

onnxruntime = pytest.importorskip("onnxruntime")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("model")
    write_tiny_minilm(made)
    return made


def _forward(weights: Weights, ids: list[int]) -> npt.NDArray[np.float64]:
    """One text through the model, as its paper has it."""

    def normalized(x: npt.NDArray[np.float64], name: str) -> npt.NDArray[np.float64]:
        centred = x - x.mean(-1, keepdims=True)
        scaled = centred / np.sqrt((centred**2).mean(-1, keepdims=True) + 1e-12)
        shifted: npt.NDArray[np.float64] = scaled * weights[f"{name}.weight"] + weights[f"{name}.bias"]
        return shifted

    def linear(x: npt.NDArray[np.float64], name: str) -> npt.NDArray[np.float64]:
        return x @ weights[f"{name}.weight"].T.astype(np.float64) + weights[f"{name}.bias"]

    def heads(x: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        return x.reshape(len(ids), HEADS, WIDTH // HEADS).transpose(1, 0, 2)

    x = weights["embeddings.word_embeddings.weight"][ids].astype(np.float64)
    x = x + weights["embeddings.position_embeddings.weight"][: len(ids)]
    x = normalized(x + weights["embeddings.token_type_embeddings.weight"][0], "embeddings.LayerNorm")
    for layer in range(LAYERS):
        at = f"encoder.layer.{layer}."
        query, key, value = (heads(linear(x, f"{at}attention.self.{part}")) for part in ("query", "key", "value"))
        scores = query @ key.transpose(0, 2, 1) / np.sqrt(WIDTH // HEADS)
        attention = np.exp(scores - scores.max(-1, keepdims=True))
        attention /= attention.sum(-1, keepdims=True)
        mixed = (attention @ value).transpose(1, 0, 2).reshape(len(ids), WIDTH)
        x = normalized(linear(mixed, f"{at}attention.output.dense") + x, f"{at}attention.output.LayerNorm")
        inner = linear(x, f"{at}intermediate.dense")
        inner = inner * 0.5 * (1 + _erf(inner / np.sqrt(2)))
        x = normalized(linear(inner, f"{at}output.dense") + x, f"{at}output.LayerNorm")
    mean: npt.NDArray[np.float64] = x.mean(0)
    return mean / np.linalg.norm(mean)


def _erf(x: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    from math import erf

    return np.vectorize(erf)(x)  # type: ignore[no-any-return]  # vectorize is untyped


def _embedded(graph: Path, texts: list[list[int]]) -> npt.NDArray[np.float32]:
    session = onnxruntime.InferenceSession(str(graph), providers=["CPUExecutionProvider"])
    width = max(map(len, texts))
    ids, mask = np.zeros((len(texts), width), np.int64), np.zeros((len(texts), width), np.int64)
    for row, text in enumerate(texts):
        ids[row, : len(text)], mask[row, : len(text)] = text, 1
    vectors: npt.NDArray[np.float32] = session.run(None, {"input_ids": ids, "attention_mask": mask})[0]
    return vectors


def _texts() -> list[list[int]]:
    rng = np.random.default_rng(3)
    return [rng.integers(0, WORDS, length).tolist() for length in (1, 2, 5, 11, 23, 47)]


def test_the_graph_comes_close_to_full_precision(folder: Path, tmp_path: Path) -> None:
    build(folder, tmp_path / "graph.onnx")
    weights = read_safetensors(folder / "model.safetensors")
    exact = np.array([_forward(weights, text) for text in _texts()])
    likeness = (_embedded(tmp_path / "graph.onnx", _texts()) * exact).sum(1)
    assert likeness.min() >= 0.99, likeness


def test_a_text_has_the_same_vector_alone_and_among_others(folder: Path, tmp_path: Path) -> None:
    build(folder, tmp_path / "graph.onnx")
    together = _embedded(tmp_path / "graph.onnx", _texts())
    alone = np.concatenate([_embedded(tmp_path / "graph.onnx", [text]) for text in _texts()])
    np.testing.assert_allclose(together, alone, atol=1e-5)


def test_vectors_have_length_one(folder: Path, tmp_path: Path) -> None:
    build(folder, tmp_path / "graph.onnx")
    lengths = np.linalg.norm(_embedded(tmp_path / "graph.onnx", _texts()), axis=1)
    np.testing.assert_allclose(lengths, 1.0, atol=1e-5)


def test_the_same_weights_give_the_same_bytes(folder: Path, tmp_path: Path) -> None:
    build(folder, tmp_path / "one.onnx")
    build(folder, tmp_path / "two.onnx")
    assert (tmp_path / "one.onnx").read_bytes() == (tmp_path / "two.onnx").read_bytes()


def test_a_build_replaces_what_was_there_and_leaves_nothing_beside_it(folder: Path, tmp_path: Path) -> None:
    target = tmp_path / "graph.onnx"
    target.write_bytes(b"half of an older one")
    (tmp_path / "graph.onnx.tmp").write_bytes(b"left by a build that was killed")
    build(folder, target)
    assert _embedded(target, [[1, 2]]).shape == (1, WIDTH)
    assert [path.name for path in tmp_path.iterdir()] == ["graph.onnx"]
