"""`ttrb bench memory`: what is worked out is what lives in a real run."""

import pytest
import torch

from ttr_backbones.backbones import TimmViT
from ttr_backbones.bench.live_memory import LiveMemory
from ttr_backbones.bench.memory import bench_memory, footprint, smallest_gpu
from ttr_backbones.bench.training import TrainSetting, make_training, random_batch
from ttr_backbones.errors import InputError

TINY = "vit_tiny_patch16_224"
CPU = torch.device("cpu")


@pytest.mark.parametrize("numbers", ["fp32", "bf16"])
@pytest.mark.parametrize(
    ("batch_size", "setting", "heads"),
    [
        (1, TrainSetting(64, 5), 1),
        (3, TrainSetting(96, 150), 1),  # positions are resampled, the loss is the largest part
        (2, TrainSetting(70, 20), 4),  # the image is padded
    ],
)
def test_footprint__equals_a_real_run_on_the_cpu(small, numbers, batch_size, setting, heads):
    worked_out = footprint(
        TINY, numbers, batch_size, setting, heads, model_kwargs=small, head_device="cpu"
    )
    backbone = TimmViT(TINY, model_kwargs=small, precision=numbers)
    images = torch.randn(batch_size, 3, setting.size, setting.size)
    with LiveMemory([*backbone.parameters(), images]) as memory:
        backbone(images)
        memory.peak = memory.now
        backbone(images)
    assert worked_out.forward == memory.peak
    assert worked_out.weights == memory.now - images.nbytes

    backbone = TimmViT(TINY, model_kwargs=small, precision=numbers)
    batch = random_batch(setting, batch_size, CPU)
    training = make_training(backbone, backbone, setting, batch, heads=heads)
    with LiveMemory(training.held) as memory:
        training.step()
        memory.peak = memory.now
        training.step()
    assert worked_out.train == memory.peak


def test_footprint__weights_by_hand():
    """ViT-S/14: bf16 halves the matrices, with their biases, and the convolution."""
    setting = TrainSetting(518)
    c, depth = 384, 12
    matrices = depth * (12 * c * c + 9 * c) + (3 * 14 * 14 + 1) * c
    rest = depth * 6 * c + (1370 + 1) * c + 2 * c  # norms, LayerScale, positions, CLS, last norm
    assert matrices + rest == 22_056_192
    full = footprint("vit_small_patch14_dinov2", "fp32", 1, setting)
    half = footprint("vit_small_patch14_dinov2", "bf16", 1, setting)
    assert full.loaded == full.weights == half.loaded == 4 * (matrices + rest)
    assert half.weights == 2 * matrices + 4 * rest


def test_footprint__grows_with_the_batch_and_the_heads(small):
    setting = TrainSetting(64, 150)
    one, two, three = (
        footprint(TINY, "fp32", batch, setting, model_kwargs=small).forward for batch in (1, 2, 3)
    )
    assert three - two == two - one > 64 * 64 * 3 * 4
    alone, eight = (
        footprint(TINY, "fp32", 1, setting, heads, model_kwargs=small).train for heads in (1, 8)
    )
    head = (64 * 150 + 150 + 2 * 64) * 4  # parameters of one
    assert eight - alone > 7 * 3 * head, "with two moments each"


def test_smallest_gpu__leaves_a_gigabyte():
    assert smallest_gpu(7 * 10**9) == 8
    assert smallest_gpu(7 * 10**9 + 1) == 12
    assert smallest_gpu(79 * 10**9) == 80
    assert smallest_gpu(80 * 10**9) is None


def test_bench_memory__a_line_for_every_case(small):
    measured = bench_memory(
        [TINY], batch_sizes=(1, 4), setting=TrainSetting(64, 5), model_kwargs=small
    )
    assert measured.rows == []
    cases = [(one["numbers"], one["batch_size"]) for one in measured.facts["memory"]]
    assert cases == [("fp32", 1), ("fp32", 4), ("bf16", 1), ("bf16", 4)]
    assert len(measured.lines) == 1 + len(cases)
    assert all(line.split()[0] == TINY for line in measured.lines[1:])
    assert "measured" not in measured.lines[0]


@pytest.mark.gpu
def test_bench_memory__measured_on_a_gpu_is_near(small):
    measured = bench_memory(
        [TINY], batch_sizes=(8,), setting=TrainSetting(224), device=torch.device("cuda")
    )
    for one in measured.facts["memory"]:
        assert one["measured_forward"] == pytest.approx(one["forward"], rel=0.1)
        assert one["measured_train"] == pytest.approx(one["train"], rel=0.1)


def test_bench_memory__knows_its_models():
    with pytest.raises(InputError, match="Did you mean 'vit_tiny_patch16_224'"):
        bench_memory(["vit_tiny_patch16_225"])
