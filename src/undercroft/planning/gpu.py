"""A model served on GPUs of your own: what fits into the memory, and how many tokens a second come out.

The model is that of batched decoding: each step reads all weights once and the keys and values of every sequence, so
it takes at least their bytes divided by the memory's bandwidth; reading a prompt takes 2 operations a parameter and
token (the roofline argument of Williams, Waterman and Patterson, CACM 52 (2009) 65, applied to transformers as in
Pope et al., Efficiently Scaling Transformer Inference, 2022). Both are bounds: `efficiency` is the share of them that
is reached, assumed unless it was measured. Nothing about a GPU but its memory is in the package's data.
"""

import math
from pathlib import Path

import msgspec
from msgspec import Struct

from undercroft.errors import ConfigurationError, NotFound
from undercroft.planning.bounds import OutOfRange, bounded

GIB = 2**30


class Weights(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A transformer's size."""

    parameters: float
    layers: int
    kv_heads: int
    head_dim: int
    weight_bytes: float = 2.0
    """Of one parameter: 2 for fp16 and bf16, 1 for fp8 and int8, 0.5 for 4 bits."""
    kv_bytes: float = 2.0
    """Of one number in the cache of keys and values."""

    @property
    def gib(self) -> float:
        return self.parameters * self.weight_bytes / GIB

    @property
    def kv_bytes_per_token(self) -> float:
        """Keys and values of one token over all layers."""
        return 2 * self.layers * self.kv_heads * self.head_dim * self.kv_bytes


class Gpu(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The GPUs of one replica, working on each step together."""

    memory_gib: float
    """Of each."""
    bandwidth_gb_s: float
    """Of each, in 1e9 bytes a second, from its data sheet or measured."""
    tflops: float
    """Of each, at the weights' precision."""
    count: int = 1
    name: str = ""
    usable: float = 0.9
    """The share of the memory that weights and caches may take."""
    efficiency: float = 0.6
    """The share of bandwidth and operations that is reached."""
    source: str = ""


class SelfHosted(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One replica that serves a model."""

    model: Weights
    gpu: Gpu

    def check(self) -> None:
        """Raises OutOfRange for what no GPU or model has."""
        model, gpu = self.model, self.gpu
        bounded("model.parameters", model.parameters, least=1e6, most=1e14)
        bounded("model.layers", model.layers, least=1, most=10_000)
        bounded("model.kv_heads", model.kv_heads, least=1, most=10_000)
        bounded("model.head_dim", model.head_dim, least=1, most=65_536)
        bounded("model.weight_bytes", model.weight_bytes, least=0.1, most=8)
        bounded("model.kv_bytes", model.kv_bytes, least=0.1, most=8)
        bounded("gpu.memory_gib", gpu.memory_gib, least=0.5, most=4096)
        bounded("gpu.bandwidth_gb_s", gpu.bandwidth_gb_s, least=1, most=1e6)
        bounded("gpu.tflops", gpu.tflops, least=0.1, most=1e6)
        bounded("gpu.count", gpu.count, least=1, most=1024)
        bounded("gpu.usable", gpu.usable, least=0.1, most=1)
        bounded("gpu.efficiency", gpu.efficiency, least=0.01, most=1)

    def largest_batch(self, context_tokens: float) -> int:
        """Sequences of this mean length whose caches fit beside the weights; 0: the weights alone do not fit."""
        gpu = self.gpu
        left = gpu.memory_gib * gpu.count * gpu.usable * GIB - self.model.parameters * self.model.weight_bytes
        return max(0, math.floor(left / (self.model.kv_bytes_per_token * max(context_tokens, 1.0))))

    def step_s(self, batch: int, context_tokens: float) -> float:
        """Seconds for one token of each of `batch` sequences: the slower of memory and arithmetic."""
        gpu, model = self.gpu, self.model
        moved = model.parameters * model.weight_bytes + batch * model.kv_bytes_per_token * context_tokens
        by_memory = moved / (gpu.bandwidth_gb_s * 1e9 * gpu.count)
        by_arithmetic = 2 * model.parameters * batch / (gpu.tflops * 1e12 * gpu.count)
        return max(by_memory, by_arithmetic) / gpu.efficiency

    def prompt_s(self, tokens: float) -> float:
        """Seconds to read a prompt."""
        return 2 * self.model.parameters * tokens / (self.gpu.tflops * 1e12 * self.gpu.count) / self.gpu.efficiency

    def tokens_per_s(self, batch: int, tokens_in: float, tokens_out: float) -> float:
        """Tokens that `batch` sequences, always full, put out together, the reading of their prompts included."""
        context = tokens_in + tokens_out / 2
        seconds = tokens_out * self.step_s(batch, context) + batch * self.prompt_s(tokens_in)
        return batch * tokens_out / seconds


class Serving(Struct, frozen=True, kw_only=True):
    """How many replicas serve a rate of requests, and how fast."""

    replicas: int
    batch: int
    """Sequences at once in each at the peak (Little's law)."""
    largest_batch: int
    weights_gib: float
    kv_mib_per_sequence: float
    tokens_per_s: float
    """Of one replica at `largest_batch`."""
    first_token_s: float
    answer_s: float
    utilisation: float


def serve(hosted: SelfHosted, *, rate: float, tokens_in: float, tokens_out: float, target: float = 0.8) -> Serving:
    """The fewest replicas whose utilisation stays below `target`. Raises OutOfRange where the model does not fit."""
    hosted.check()
    tokens_out = max(tokens_out, 1.0)
    context = tokens_in + tokens_out / 2
    largest = hosted.largest_batch(context)
    model, gpu = hosted.model, hosted.gpu
    if largest == 0:
        needed = (model.gib + model.kv_bytes_per_token * context / GIB) / gpu.usable / gpu.memory_gib
        raise OutOfRange(
            f"gpu.count is {gpu.count}: {model.gib:.1f} GiB of weights and one sequence do not fit into "
            f"{gpu.count * gpu.memory_gib * gpu.usable:.1f} GiB; the nearest that does is {math.ceil(needed)}.",
            param="gpu.count",
        )
    capacity = hosted.tokens_per_s(largest, tokens_in, tokens_out) / tokens_out
    replicas = max(1, math.ceil(rate / (capacity * target)))
    batch = _steady_batch(hosted, rate / replicas, tokens_in, tokens_out, largest)
    first = hosted.prompt_s(tokens_in) + hosted.step_s(batch, context)
    return Serving(
        replicas=replicas,
        batch=batch,
        largest_batch=largest,
        weights_gib=model.gib,
        kv_mib_per_sequence=model.kv_bytes_per_token * context / 2**20,
        tokens_per_s=capacity * tokens_out,
        first_token_s=first,
        answer_s=batch * tokens_out / hosted.tokens_per_s(batch, tokens_in, tokens_out),
        utilisation=rate / replicas / capacity,
    )


def _steady_batch(hosted: SelfHosted, rate: float, tokens_in: float, tokens_out: float, largest: int) -> int:
    """The smallest batch that keeps up with the arrivals of one replica."""
    low, high = 1, largest
    while low < high:
        middle = (low + high) // 2
        if hosted.tokens_per_s(middle, tokens_in, tokens_out) / tokens_out >= rate:
            high = middle
        else:
            low = middle + 1
    return low


def read_self_hosted(path: Path) -> SelfHosted:
    """A TOML file with the tables [model] and [gpu]. Raises NotFound, ConfigurationError and OutOfRange."""
    if not path.is_file():
        raise NotFound(f"There is no file {path} that describes a model and its GPU.")
    try:
        hosted = msgspec.toml.decode(path.read_bytes(), type=SelfHosted)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"{path}: {error}") from error
    hosted.check()
    return hosted
