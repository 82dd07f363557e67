"""MiniLM as an ONNX graph with int8 weights, made from its safetensors with numpy alone.

The `onnx` package (88 MB) is not needed to write a file of this kind: the format is a protobuf, and a graph uses a
handful of its fields. Its quantizer has one scale a matrix and one a batch of inputs, so that a text's vector depends
on its neighbours (mean cosine to fp32: 0.94). Here every output channel and every token has its own: a text's vector
is its own, and the mean cosine is 0.996. The same weights always give the same bytes.
"""

import json
import os
import struct
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]

FLOAT, UINT8, INT8, INT64 = 1, 2, 3, 7
_TENSOR_TYPES = {"float32": FLOAT, "uint8": UINT8, "int8": INT8, "int64": INT64}
IR_VERSION, OPSET = 10, 20

WEIGHT_LEVELS = 63
"""Weights are whole numbers within ±63, not ±127: processors with AVX2 but without VNNI add pairs of 8-bit products in
16 bits, and 255 * 127 * 2 does not fit."""
ZERO = 128
"""What 0.0 is in quantized activations."""


def build(folder: Path, target: Path) -> None:
    """Writes the graph of the model in `folder` (`model.safetensors`, `config.json`) to `target`, whole or not at all.

    Inputs `input_ids` and `attention_mask` (int64, batch x sequence), output `embedding` (float32, of length 1).
    """
    weights = read_safetensors(folder / "model.safetensors")
    config = json.loads((folder / "config.json").read_bytes())
    unfinished = target.with_name(f"{target.name}.tmp")
    with unfinished.open("wb") as file:
        file.writelines(_minilm(weights, config).model())
        file.flush()
        os.fsync(file.fileno())
    unfinished.replace(target)


def read_safetensors(path: Path) -> dict[str, Array]:
    """The tensors of a file, mapped into memory."""
    mapped = np.memmap(path, mode="r")
    (header_size,) = struct.unpack("<Q", mapped[:8].tobytes())
    header = json.loads(mapped[8 : 8 + header_size].tobytes())
    data = mapped[8 + header_size :]
    types = {"F32": np.float32, "I64": np.int64}
    return {
        name: data[slice(*entry["data_offsets"])].view(types[entry["dtype"]]).reshape(entry["shape"])
        for name, entry in header.items()
        if name != "__metadata__"
    }


def _minilm(weights: Mapping[str, Array], config: Mapping[str, Any]) -> "_Graph":
    width, heads, epsilon = config["hidden_size"], config["num_attention_heads"], config["layer_norm_eps"]
    graph = _Graph("minilm", weights)
    add, mul, integers = graph.add, graph.mul, graph.integers
    # [b, s, width] <-> [b, heads, s, width / heads]
    split, join = integers(0, 0, heads, width // heads), integers(0, 0, width)

    mask = graph.node("Cast", "attention_mask", to=FLOAT)
    is_padding = graph.node("Sub", graph.floats(1.0), graph.node("Unsqueeze", mask, integers(1, 2)))
    attention_bias = mul(is_padding, graph.floats(-1e9))

    # Sentences are all of token type 0: its embedding goes into the positions'.
    positions = weights["embeddings.position_embeddings.weight"] + weights["embeddings.token_type_embeddings.weight"][0]
    sequence = graph.node("Gather", graph.node("Shape", "input_ids"), integers(1))
    position = graph.node("Slice", graph.constant(positions), integers(0), sequence, integers(0))
    x = add(graph.quantized_rows("embeddings.word_embeddings.weight", "input_ids"), position)
    x = graph.normalized(x, "embeddings.LayerNorm", epsilon)

    for layer in range(config["num_hidden_layers"]):
        at = f"encoder.layer.{layer}."
        quantized = graph.quantize(x)  # once for query, key and value
        query, key, value = (
            graph.node(
                "Transpose",
                graph.node("Reshape", graph.linear(quantized, f"{at}attention.self.{part}"), split),
                perm=order,
            )
            for part, order in (("query", [0, 2, 1, 3]), ("key", [0, 2, 3, 1]), ("value", [0, 2, 1, 3]))
        )
        scores = mul(graph.node("MatMul", query, key), graph.floats((width // heads) ** -0.5))
        attention = graph.node("Softmax", add(scores, attention_bias), axis=-1)
        mixed = graph.node("Transpose", graph.node("MatMul", attention, value), perm=[0, 2, 1, 3])
        mixed = graph.linear(graph.quantize(graph.node("Reshape", mixed, join)), f"{at}attention.output.dense")
        x = graph.normalized(add(mixed, x), f"{at}attention.output.LayerNorm", epsilon)
        inner = graph.node("Gelu", graph.linear(graph.quantize(x), f"{at}intermediate.dense"))
        inner = graph.linear(graph.quantize(inner), f"{at}output.dense")
        x = graph.normalized(add(inner, x), f"{at}output.LayerNorm", epsilon)

    masked = mul(x, graph.node("Unsqueeze", mask, integers(2)))
    total = graph.node("ReduceSum", masked, integers(1), keepdims=0)
    count = graph.node("ReduceSum", mask, integers(1), keepdims=1)
    graph.node("LpNormalization", graph.node("Div", total, count), output="embedding", axis=-1, p=2)
    graph.takes("input_ids", INT64, ["batch", "sequence"])
    graph.takes("attention_mask", INT64, ["batch", "sequence"])
    graph.gives("embedding", FLOAT, ["batch", width])
    return graph


class _Graph:
    """Collects nodes and constants, and writes them as an ONNX model."""

    def __init__(self, name: str, weights: Mapping[str, Array]) -> None:
        self._name = name
        self._weights = weights
        self._nodes: list[bytes] = []
        self._constants: list[list[bytes]] = []
        self._small: dict[tuple[str, bytes], str] = {}
        self._interface: list[bytes] = []

    def node(self, operator: str, *inputs: str, output: str | None = None, **attributes: float | list[int]) -> str:
        """Adds an operator and returns the name of its output."""
        output = output or f"n{len(self._nodes)}"
        self._nodes.append(
            _message(
                *(_text(1, name) for name in inputs),
                _text(2, output),
                _text(3, f"node{len(self._nodes)}"),
                _text(4, operator),
                *(_bytes(5, _attribute(name, value)) for name, value in attributes.items()),
            )
        )
        return output

    def constant(self, array: Array) -> str:
        name = f"c{len(self._constants)}"
        shape = array.shape  # ascontiguousarray makes a scalar an array of one
        self._constants.append(
            [
                *(_number(1, extent) for extent in shape),
                _number(2, _TENSOR_TYPES[array.dtype.name]),
                _text(8, name),
                *_bytes_parts(9, np.ascontiguousarray(array).astype(array.dtype.newbyteorder("<")).tobytes()),
            ]
        )
        return name

    def floats(self, value: float) -> str:
        return self._shared(np.array(value, np.float32))

    def integers(self, *values: int) -> str:
        return self._shared(np.array(values, np.int64))

    def _shared(self, array: Array) -> str:
        key = (array.dtype.name + str(array.shape), array.tobytes())
        if key not in self._small:
            self._small[key] = self.constant(array)
        return self._small[key]

    def add(self, left: str, right: str) -> str:
        return self.node("Add", left, right)

    def mul(self, left: str, right: str) -> str:
        return self.node("Mul", left, right)

    def normalized(self, x: str, name: str, epsilon: float) -> str:
        weight, bias = (self.constant(self._weights[f"{name}.{part}"]) for part in ("weight", "bias"))
        return self.node("LayerNormalization", x, weight, bias, axis=-1, epsilon=float(epsilon))

    def quantize(self, x: str) -> tuple[str, str]:
        """x as whole numbers around ZERO, and the scale of each token."""
        largest = self.node("ReduceMax", self.node("Abs", x), self.integers(-1), keepdims=1)
        scale = self.mul(self.node("Max", largest, self.floats(1e-12)), self.floats(1 / 127))
        whole = self.add(self.node("Round", self.node("Div", x, scale)), self.floats(float(ZERO)))
        return self.node("Cast", whole, to=UINT8), scale

    def linear(self, quantized: tuple[str, str], name: str) -> str:
        """quantized @ weight + bias, with a scale for each output."""
        x, scale = quantized
        weight, scales = _int8_rows(self._weights[f"{name}.weight"], WEIGHT_LEVELS)
        product = self.node("MatMulInteger", x, self.constant(weight.T), self._shared(np.array(ZERO, np.uint8)))
        # Two Muls in this order: onnxruntime takes MatMulInteger * (scale * scales) for its own fused form, whose scale
        # is one number, and computes nonsense.
        scaled = self.mul(self.mul(self.node("Cast", product, to=FLOAT), scale), self.constant(scales))
        return self.add(scaled, self.constant(self._weights[f"{name}.bias"]))

    def quantized_rows(self, name: str, indices: str) -> str:
        """The rows of an embedding table, kept as int8 with a scale for each row."""
        rows, scales = _int8_rows(self._weights[name], 127)
        picked = self.node("Cast", self.node("Gather", self.constant(rows), indices), to=FLOAT)
        return self.mul(picked, self.node("Gather", self.constant(scales[:, None]), indices))

    def takes(self, name: str, kind: int, shape: Sequence[int | str]) -> None:
        self._interface.append(_bytes(11, _value_info(name, kind, shape)))

    def gives(self, name: str, kind: int, shape: Sequence[int | str]) -> None:
        self._interface.append(_bytes(12, _value_info(name, kind, shape)))

    def model(self) -> Iterator[bytes]:
        """The file, in pieces."""
        graph = [
            *(_bytes(1, node) for node in self._nodes),
            _text(2, self._name),
            *(piece for constant in self._constants for piece in _nested(5, constant)),
            *self._interface,
        ]
        yield _number(1, IR_VERSION)
        yield _text(2, "undercroft")
        yield from _nested(7, graph)
        yield _bytes(8, _message(_text(1, ""), _number(2, OPSET)))


def _int8_rows(matrix: Array, levels: int) -> tuple[Array, Array]:
    """Whole numbers within ±levels and a scale for each row, nearest to the matrix."""
    scales = np.maximum(np.abs(matrix).max(axis=1), np.float32(1e-12)) / np.float32(levels)
    return np.rint(matrix / scales[:, None]).astype(np.int8), scales.astype(np.float32)


def _value_info(name: str, kind: int, shape: Sequence[int | str]) -> bytes:
    extents = [_bytes(1, _number(1, extent) if isinstance(extent, int) else _text(2, extent)) for extent in shape]
    tensor = _message(_number(1, kind), _bytes(2, _message(*extents)))
    return _message(_text(1, name), _bytes(2, _bytes(1, tensor)))


def _attribute(name: str, value: float | list[int]) -> bytes:
    if isinstance(value, list):
        fields = [_number(8, item) for item in value] + [_number(20, 7)]
    elif isinstance(value, int):
        fields = [_number(3, value), _number(20, 2)]
    else:
        fields = [b"\x15" + struct.pack("<f", value), _number(20, 1)]
    return _message(_text(1, name), *fields)


# --- protobuf: a field is its number and kind, then a varint or a length and bytes --------------------------------


def _varint(value: int) -> bytes:
    value &= (1 << 64) - 1  # negative numbers take ten bytes
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def _number(field: int, value: int) -> bytes:
    return _varint(field << 3) + _varint(value)


def _bytes_parts(field: int, value: bytes) -> tuple[bytes, bytes]:
    return _varint(field << 3 | 2) + _varint(len(value)), value


def _bytes(field: int, value: bytes) -> bytes:
    return b"".join(_bytes_parts(field, value))


def _text(field: int, value: str) -> bytes:
    return _bytes(field, value.encode())


def _message(*fields: bytes) -> bytes:
    return b"".join(fields)


def _nested(field: int, pieces: Sequence[bytes]) -> Iterator[bytes]:
    """A message inside another, without copying its pieces together."""
    yield _varint(field << 3 | 2) + _varint(sum(map(len, pieces)))
    yield from pieces
