"""Bytes that live at once: cases worked out by hand, and fake tensors against real ones."""

import contextlib

import pytest
import torch
from timm.models.vision_transformer import VisionTransformer
from torch._subclasses.fake_tensor import FakeTensorMode

from ttr_backbones.bench.live_memory import LiveMemory, bytes_of, peak_bytes

KIB = 1024
CPU = torch.device("cpu")


def kib(count=1):
    return torch.ones(count * KIB // 4)


def test_live_memory__counts_what_lives_at_once():
    a = kib()
    with LiveMemory([a]) as memory:
        b = a + a  # a, b
        assert memory.now == 2 * KIB
        c = b * 2  # a, b, c
        del b
        d = c * 2  # a, c, d
        del c, d
    assert memory.peak == 3 * KIB
    assert memory.now == KIB


def test_live_memory__a_temporary_lives_until_its_result_does():
    a = kib()
    with LiveMemory([a]) as memory:
        b = (a + 1) * 2  # a, a + 1, b
    assert (memory.peak, memory.now) == (3 * KIB, 2 * KIB)
    del b


def test_live_memory__views_and_work_in_place_take_nothing():
    a = kib(4)
    with LiveMemory([a]) as memory:
        b = a.view(4, -1)[1].mul_(2)
        a += 1
    assert memory.peak == memory.now == 4 * KIB
    del b


def test_live_memory__a_view_keeps_its_whole_storage():
    with LiveMemory() as memory:
        part = kib(4)[:1]
    assert memory.now == 4 * KIB
    del part


def test_live_memory__every_output_of_an_operation_counts():
    a = torch.ones(4, 64)
    with LiveMemory([a]) as memory:
        values, indices = a.max(dim=1)  # 4 floats and 4 int64
        assert memory.now - bytes_of([a]) == 4 * 4 + 4 * 8
    del values, indices


@pytest.mark.parametrize("mode", [torch.no_grad, torch.inference_mode])
def test_live_memory__a_linear_layer(mode):
    """Its transposed weight is a view; only the output is new."""
    layer, x = torch.nn.Linear(16, 32), torch.ones(2, 5, 16)
    with LiveMemory([*layer.parameters(), x]) as memory, mode():
        y = layer(x)
    assert memory.peak == bytes_of([*layer.parameters(), x]) + 2 * 5 * 32 * 4
    del y


def test_live_memory__what_autograd_keeps_lives():
    """exp keeps its output for the gradient; a plain addition keeps nothing."""
    a = kib().requires_grad_()
    with LiveMemory([a]) as memory:
        b = a + 1
        c = b.exp()
        d = c * 2
        del b, c
        assert memory.now == 3 * KIB  # a, c (kept), d
        d = d.sum()
        assert memory.now == 2 * KIB + 4  # a, c, a scalar
        d.backward()
        del d
    assert memory.now == 2 * KIB  # a and its gradient


def test_bytes_of__counts_a_storage_once():
    a = kib(2)
    assert bytes_of([a, a[:3], a.view(2, -1)]) == 2 * KIB


def test_peak_bytes__has_what_is_held():
    a = kib(2)
    assert peak_bytes(lambda: a * 2, [a], CPU) == 4 * KIB


@pytest.mark.gpu
def test_peak_bytes__on_a_gpu_is_what_the_allocator_saw():
    a = torch.ones(2**20, device="cuda")
    counted = peak_bytes(lambda: (a * 2) * 2, [a], a.device)
    assert counted == 3 * a.nbytes


@pytest.mark.parametrize("bf16", [False, True])
@pytest.mark.parametrize("mode", [torch.no_grad, torch.inference_mode, torch.enable_grad])
def test_live_memory__fake_tensors_live_as_real_ones(mode, bf16):
    real, fake = (peak_of_a_pass(mode, bf16, fake=fake) for fake in (False, True))
    assert real == fake
    assert real > 200_000


def peak_of_a_pass(mode, bf16, *, fake):
    with torch.device("meta" if fake else "cpu"):
        vit = VisionTransformer(
            img_size=64, embed_dim=32, depth=4, num_heads=2, num_classes=5
        ).eval()
    with FakeTensorMode(allow_non_fake_inputs=True) if fake else contextlib.nullcontext():
        if fake:
            vit.to_empty(device="cpu")
        x = torch.randn(3, 3, 64, 64)
        with LiveMemory([*vit.parameters(), x]) as memory, mode():
            with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
                y = vit(x)
            if torch.is_grad_enabled():
                y.float().sum().backward()
        return memory.peak
