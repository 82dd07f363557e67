"""Serving a model on GPUs: memory by hand-made arithmetic, speed within its bounds."""

from pathlib import Path

import msgspec
import pytest

from undercroft.errors import ConfigurationError, NotFound
from undercroft.planning.bounds import OutOfRange
from undercroft.planning.gpu import Gpu, SelfHosted, Weights, read_self_hosted, serve

EIGHT_BILLION = Weights(parameters=8.03e9, layers=32, kv_heads=8, head_dim=128)
CARD = Gpu(name="l4", memory_gib=24, bandwidth_gb_s=300, tflops=120, efficiency=1.0)
HOSTED = SelfHosted(model=EIGHT_BILLION, gpu=CARD)


def test_weights_and_caches_take_what_they_take() -> None:
    assert EIGHT_BILLION.gib == pytest.approx(16.06e9 / 2**30)
    assert EIGHT_BILLION.kv_bytes_per_token == 2 * 32 * 8 * 128 * 2  # 128 KiB
    left = 24 * 0.9 * 2**30 - 16.06e9
    assert HOSTED.largest_batch(1000) == int(left / (131_072 * 1000))


def test_half_the_precision_takes_half_the_memory() -> None:
    assert msgspec.structs.replace(EIGHT_BILLION, weight_bytes=1.0).gib == pytest.approx(EIGHT_BILLION.gib / 2)


def test_one_token_takes_at_least_the_reading_of_all_weights() -> None:
    assert HOSTED.step_s(1, 0) == pytest.approx(16.06e9 / 300e9)


def test_a_large_batch_is_bound_by_arithmetic() -> None:
    strong = SelfHosted(model=EIGHT_BILLION, gpu=msgspec.structs.replace(CARD, bandwidth_gb_s=1e6))

    assert strong.step_s(64, 0) == pytest.approx(2 * 8.03e9 * 64 / 120e12)


def test_a_larger_batch_puts_out_more_and_answers_later() -> None:
    speeds = [HOSTED.tokens_per_s(batch, 500, 200) for batch in (1, 4, 16)]

    assert speeds == sorted(speeds)
    assert HOSTED.step_s(16, 600) > HOSTED.step_s(1, 600)


def test_replicas_grow_with_the_load_and_stay_below_the_target() -> None:
    few = serve(HOSTED, rate=0.5, tokens_in=500, tokens_out=200)
    many = serve(HOSTED, rate=50, tokens_in=500, tokens_out=200)

    assert 1 <= few.replicas < many.replicas
    assert many.utilisation <= 0.8
    assert many.batch <= many.largest_batch


def test_a_model_that_does_not_fit_is_refused_with_the_number_that_does() -> None:
    large = SelfHosted(model=msgspec.structs.replace(EIGHT_BILLION, parameters=70e9), gpu=CARD)

    with pytest.raises(OutOfRange, match=r"gpu.count is 1: .* the nearest that does is 7\."):
        serve(large, rate=1, tokens_in=500, tokens_out=200)
    serve(
        msgspec.structs.replace(large, gpu=msgspec.structs.replace(CARD, count=7)),
        rate=1,
        tokens_in=500,
        tokens_out=200,
    )


@pytest.mark.parametrize(
    ("text", "error", "complaint"),
    [
        ("[model]\n", ConfigurationError, "missing required field"),
        ("model = ", ConfigurationError, r"host\.toml"),
        (
            "[model]\nparameters=8e9\nlayers=32\nkv_heads=8\nhead_dim=128\n[gpu]\nmemory_gib=24\nbandwidth_gb_s=0\ntflops=1\n",
            OutOfRange,
            "gpu.bandwidth_gb_s is 0: it must be from 1 to",
        ),
    ],
)
def test_a_file_that_describes_no_gpu_is_refused(
    text: str, error: type[Exception], complaint: str, tmp_path: Path
) -> None:
    (tmp_path / "host.toml").write_text(text, "utf-8")

    with pytest.raises(error, match=complaint):
        read_self_hosted(tmp_path / "host.toml")


def test_a_file_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="There is no file"):
        read_self_hosted(tmp_path / "none.toml")
