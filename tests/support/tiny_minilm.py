"""A model of MiniLM's shape, small enough for a unit test, with weights of the size that trained ones have."""

import json
import struct
from pathlib import Path

import numpy as np
import numpy.typing as npt

Weights = dict[str, npt.NDArray[np.float32]]
LAYERS, HEADS, WIDTH, INNER, WORDS, POSITIONS = 2, 4, 64, 128, 300, 48


def write_tiny_minilm(folder: Path) -> None:
    """`model.safetensors` and `config.json`, always the same bytes."""
    _write_safetensors(folder / "model.safetensors", _weights())
    config = {"hidden_size": WIDTH, "num_attention_heads": HEADS, "num_hidden_layers": LAYERS, "layer_norm_eps": 1e-12}
    (folder / "config.json").write_text(json.dumps(config))


def _weights() -> Weights:
    rng = np.random.default_rng(7)

    def normal(*shape: int, spread: float = 0.05) -> npt.NDArray[np.float32]:
        return rng.normal(0, spread, shape).astype(np.float32)

    weights: Weights = {
        "embeddings.word_embeddings.weight": normal(WORDS, WIDTH),
        "embeddings.position_embeddings.weight": normal(POSITIONS, WIDTH),
        "embeddings.token_type_embeddings.weight": normal(2, WIDTH),
    }
    attention = ("attention.self.query", "attention.self.key", "attention.self.value", "attention.output.dense")
    shapes = dict.fromkeys(attention, (WIDTH, WIDTH))
    shapes |= {"intermediate.dense": (INNER, WIDTH), "output.dense": (WIDTH, INNER)}
    norms = ["embeddings.LayerNorm"]
    for layer in range(LAYERS):
        at = f"encoder.layer.{layer}."
        for name, shape in shapes.items():
            weights[f"{at}{name}.weight"], weights[f"{at}{name}.bias"] = normal(*shape, spread=0.2), normal(shape[0])
        norms += [f"{at}attention.output.LayerNorm", f"{at}output.LayerNorm"]
    for name in norms:
        weights[f"{name}.weight"], weights[f"{name}.bias"] = 1 + normal(WIDTH), normal(WIDTH)
    return weights


def _write_safetensors(path: Path, weights: Weights) -> None:
    header, data = {}, b""
    for name, array in weights.items():
        header[name] = {
            "dtype": "F32",
            "shape": list(array.shape),
            "data_offsets": [len(data), len(data) + array.nbytes],
        }
        data += array.tobytes()
    encoded = json.dumps(header).encode()
    encoded += b" " * (-len(encoded) % 8)
    path.write_bytes(struct.pack("<Q", len(encoded)) + encoded + data)
