"""The loss in strips against torch's own resize and cross-entropy."""

from __future__ import annotations

import math
import sys

import pytest
import torch
from torch.nn import functional as F
from torch.utils._python_dispatch import TorchDispatchMode

from ttr_backbones.errors import InputError
from ttr_backbones.losses import in_rows, in_strips
from ttr_backbones.losses.pixel_targets import PixelTargets
from ttr_backbones.losses.upsampled_cross_entropy import upsampled_cross_entropy

SIZES = [
    ((5, 7), (40, 33)),
    ((37, 37), (64, 80)),
    ((12, 9), (12, 9)),
    ((20, 16), (7, 5)),  # smaller than the logits
    ((6, 20), (31, 8)),
    ((1, 1), (9, 4)),
    ((8, 3), (1, 1)),
]


def made(size=(5, 7), pixels=(40, 33), *, batch=2, classes=11, dtype=torch.float32, scale=4.0):
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(batch, classes, *size, generator=generator, dtype=dtype) * scale
    labels = torch.randint(classes, (batch, *pixels), generator=generator)
    labels[torch.rand(labels.shape, generator=generator) < 0.2] = 255
    return logits.requires_grad_(), labels


def plain(logits, labels, *, align_corners=False):
    """Sum of the loss, hits and valid pixels, at full size."""
    size = labels.shape[1:]
    scores = F.interpolate(logits, size, mode="bilinear", align_corners=align_corners)
    total = F.cross_entropy(scores, labels, ignore_index=255, reduction="sum")
    valid = labels != 255
    return total, (scores.argmax(1) == labels)[valid].sum(), valid.sum()


def assert_as_at_full_size(logits, labels, *, loss, gradient):
    """Loss and gradient in float32 are those in float64; return both results."""
    expected, *counts = plain(logits.double(), labels)
    given = upsampled_cross_entropy(logits, labels)
    torch.testing.assert_close(given.total.double(), expected, **loss)
    (found,) = torch.autograd.grad(given.total, logits)
    (wanted,) = torch.autograd.grad(expected, logits)
    torch.testing.assert_close(found, wanted, **gradient)
    return given, counts


def by_strips(monkeypatch):
    """What a GPU does, and a CPU with logits that are far apart."""
    module = sys.modules[upsampled_cross_entropy.__module__]
    monkeypatch.setattr(module, "spread", lambda _: None)


WAYS = {
    "rows": lambda _: None,
    "rows, image by image": lambda patch: patch.setattr(in_rows, "_BYTES_PER_THREAD", 1),
    "strips": by_strips,
    "strips of one row": lambda patch: (
        by_strips(patch),
        patch.setattr(in_strips, "_BYTES_PER_THREAD", 1),
    ),
}


@pytest.mark.parametrize("align_corners", [False, True])
@pytest.mark.parametrize(("size", "pixels"), SIZES)
@pytest.mark.parametrize("way", WAYS)
def test_loss_gradient_and_counts_are_those_at_full_size(
    size, pixels, align_corners, way, monkeypatch
):
    WAYS[way](monkeypatch)
    logits, labels = made(size, pixels, dtype=torch.float64)
    expected, hits, pixels = plain(logits, labels, align_corners=align_corners)
    given = upsampled_cross_entropy(logits, labels, align_corners=align_corners)
    torch.testing.assert_close(given.total, expected, rtol=1e-12, atol=1e-12)
    assert (given.correct, given.valid) == (hits, pixels)
    # A factor of its own shows that the upstream gradient is taken in.
    (gradient,) = torch.autograd.grad(0.3 * given.total, logits)
    (wanted,) = torch.autograd.grad(0.3 * expected, logits)
    torch.testing.assert_close(gradient, wanted, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize(("stride", "offset"), [(2, (0, 1)), (3, (2, 0)), (9, (8, 8))])
@pytest.mark.parametrize("way", ["rows", "strips"])
def test_every_so_many_th_pixel_is_those_pixels_of_the_full_size(stride, offset, way, monkeypatch):
    WAYS[way](monkeypatch)
    logits, labels = made(dtype=torch.float64)
    chosen = (..., slice(offset[0], None, stride), slice(offset[1], None, stride))
    scores = F.interpolate(logits, labels.shape[1:], mode="bilinear")[chosen]
    expected = F.cross_entropy(scores, labels[chosen], ignore_index=255, reduction="sum")
    targets = PixelTargets(labels, stride=stride, offset=offset)
    loss = upsampled_cross_entropy(logits, targets)
    torch.testing.assert_close(loss.total, expected, rtol=1e-12, atol=1e-12)
    assert loss.valid == (labels[chosen] != 255).sum()
    assert loss.correct == (scores.argmax(1) == labels[chosen])[labels[chosen] != 255].sum()
    (gradient,) = torch.autograd.grad(loss.total, logits)
    (wanted,) = torch.autograd.grad(expected, logits)
    torch.testing.assert_close(gradient, wanted, rtol=1e-9, atol=1e-12)


def test_an_offset_that_skips_a_whole_stride_is_refused():
    _, labels = made()
    with pytest.raises(InputError, match="expected both from 0 to stride - 1"):
        PixelTargets(labels, stride=2, offset=(0, 2))


@pytest.mark.parametrize("classes", [1, 2, 150])
def test_any_number_of_classes_in_float32(classes):
    logits, labels = made((14, 14), (112, 112), classes=classes)
    given, (hits, _) = assert_as_at_full_size(
        logits,
        labels,
        loss={"rtol": 1e-5, "atol": 1e-6},
        gradient={"rtol": 1e-4, "atol": 1e-4},
    )
    assert abs(given.correct - hits) <= 1  # near ties


@pytest.mark.parametrize(("scale", "in_range"), [(10, True), (20, True), (1e4, False)])
def test_large_logits_neither_overflow_nor_vanish(scale, in_range):
    logits, labels = made(scale=scale)
    near = in_rows.spread(logits.detach())
    assert (near is not None) == in_range, "what float32 holds goes by rows"
    assert scale != 20 or near.lift > 0, "of its whole range"
    assert_as_at_full_size(
        logits,
        labels,
        loss={"rtol": 1e-5, "atol": 0},
        gradient={"rtol": 1e-3, "atol": 1e-2},
    )


@pytest.mark.parametrize("align_corners", [False, True])
@pytest.mark.parametrize(("dtype", "scale"), [(torch.float32, 140), (torch.float64, 1300)])
def test_cells_far_apart_on_a_grid_about_as_fine_as_the_pixels(dtype, scale, align_corners):
    """From one cell to the next the exponential changes by more than the type can hold."""
    logits = torch.zeros(1, 2, 10, 2, dtype=dtype)
    logits[:, 0, ::2] = logits[:, 1, 1::2] = -scale
    assert in_rows.spread(logits) is not None
    for rows in (10, 11, 17, 20):
        labels = torch.arange(rows * 2).reshape(1, rows, 2) % 2
        one, other = (logits.to(kind, copy=True).requires_grad_() for kind in (dtype, torch.double))
        given = upsampled_cross_entropy(one, labels, align_corners=align_corners)
        expected, _, _ = plain(other, labels, align_corners=align_corners)
        torch.testing.assert_close(given.total.double(), expected, rtol=1e-5, atol=0)
        given.total.backward()
        expected.backward()
        torch.testing.assert_close(one.grad.double(), other.grad, rtol=1e-4, atol=1e-4)


def test_logits_that_are_not_finite_give_a_loss_that_is_not():
    logits, labels = made()
    with torch.no_grad():
        logits[0, 0, 0, 0] = float("nan")
    assert upsampled_cross_entropy(logits, labels).total.isnan()


def test_targets__serve_several_heads_and_grids():
    _, labels = made()
    targets = PixelTargets(labels)
    for size in ((5, 7), (6, 4)):
        logits, _ = made(size)
        given = upsampled_cross_entropy(logits, targets, count_correct=False)
        assert given.total == upsampled_cross_entropy(logits, labels).total
        assert given.correct == 0


def test_float32__thirty_rows_between_two_of_the_grid():
    logits, labels = made((3, 3), (96, 90), scale=8.0)
    assert_as_at_full_size(
        logits,
        labels,
        loss={"rtol": 1e-6, "atol": 0},
        gradient={"rtol": 1e-4, "atol": 1e-3},
    )


def test_by_hand():
    # Two classes, one pixel made of two: the middle of (0, 2) and (2, 0) is (1, 1).
    logits = torch.tensor([[[[0.0, 2.0]], [[2.0, 0.0]]]], requires_grad=True)
    loss = upsampled_cross_entropy(logits, torch.tensor([[[1]]]))
    assert loss.total.item() == pytest.approx(math.log(2))
    assert loss.correct == 1  # a tie counts
    loss.total.backward()
    assert logits.grad.flatten().tolist() == pytest.approx([0.25, 0.25, -0.25, -0.25])


def test_ignored_pixels_count_nowhere():
    logits, labels = made()
    labels[:] = 255
    loss = upsampled_cross_entropy(logits, labels)
    loss.total.backward()
    assert (loss.total, loss.correct, loss.valid) == (0, 0, 0)
    assert torch.equal(logits.grad, torch.zeros_like(logits))
    # 3 is a class like any other once -1 is what is ignored.
    logits, labels = made(classes=4)
    renamed = labels.where(labels != 255, -1)
    one, other = (
        upsampled_cross_entropy(logits, labels),
        upsampled_cross_entropy(logits, PixelTargets(renamed, ignore_index=-1)),
    )
    assert one == other


def test_gradient_equals_finite_differences():
    logits, labels = made((3, 2), (7, 5), classes=3, dtype=torch.float64, scale=1.0)
    assert torch.autograd.gradcheck(lambda x: upsampled_cross_entropy(x, labels).total, logits)


def test_a_second_derivative_is_refused():
    logits, labels = made()
    total = upsampled_cross_entropy(logits, labels).total
    with pytest.raises(InputError, match="no second derivative"):
        torch.autograd.grad(total, logits, create_graph=True)


def test_half_precision_is_computed_in_float32_and_gets_a_gradient_of_its_own_kind():
    logits, labels = made((14, 14), (50, 60))
    half = logits.detach().bfloat16().requires_grad_()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        given = upsampled_cross_entropy(half, labels)
    assert given.total.dtype == torch.float32
    expected, hits, _ = plain(half.float(), labels)
    torch.testing.assert_close(given.total, expected, rtol=1e-5, atol=0)
    assert abs(given.correct - hits) <= 1
    (gradient,) = torch.autograd.grad(given.total, half)
    (wanted,) = torch.autograd.grad(expected, half)
    assert gradient.dtype == torch.bfloat16
    torch.testing.assert_close(gradient, wanted, rtol=2e-2, atol=1e-2)


class Watched(TorchDispatchMode):
    """Largest tensor that is made, and every operation that needs a value on the host."""

    FETCH = ("_local_scalar_dense", "nonzero", "masked_select", "equal", "is_nonzero")

    def __init__(self):
        super().__init__()
        self.largest, self.fetched = 0, []

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        result = func(*args, **(kwargs or {}))
        name = func.overloadpacket.__name__
        masks = name == "index" and any(x is not None and x.dtype == torch.bool for x in args[1])
        if name in self.FETCH or masks:
            self.fetched.append(name)
        for one in result if isinstance(result, tuple) else (result,):
            if isinstance(one, torch.Tensor):
                self.largest = max(self.largest, one.numel())
        return result


@pytest.mark.parametrize(
    ("way", "largest"),
    [
        ("rows", 2 * 128 * 96),  # as large as the labels
        ("strips of one row", 2 * 20 * 8 * 96),  # the width is resized, the height is not
    ],
)
def test_the_logits_are_never_held_at_full_size(way, largest, monkeypatch):
    WAYS[way](monkeypatch)
    B, K, w, H, W = 2, 20, 8, 128, 96
    logits, labels = made((8, w), (H, W), batch=B, classes=K)
    with Watched() as watched:
        upsampled_cross_entropy(logits, labels).total.backward()
    assert watched.largest == largest
    with Watched() as watched:
        plain(logits, labels)[0].backward()
    assert watched.largest == B * K * H * W


def test_no_value_is_fetched_from_the_device(monkeypatch):
    logits, labels = made()
    by_strips(monkeypatch)
    upsampled_cross_entropy(logits, labels)  # the matrices of a size are made once
    monkeypatch.setattr(PixelTargets, "check", lambda *_: None)  # what a GPU does not do
    with Watched() as watched:
        upsampled_cross_entropy(logits, labels).total.backward()
    assert watched.fetched == []
    with Watched() as watched:
        plain(logits, labels)
    assert watched.fetched, "what is watched for is seen"


def test_without_a_gradient_none_is_computed():
    logits, labels = made()
    with torch.no_grad():
        quiet = upsampled_cross_entropy(logits, labels)
    assert not quiet.total.requires_grad
    assert torch.equal(quiet.total, upsampled_cross_entropy(logits, labels).total)


def test_bad_input_is_explained():
    logits, labels = made(classes=4)
    with pytest.raises(InputError, match=r"expected \[B, K, h, w\] and \[B, H, W\]"):
        upsampled_cross_entropy(logits, labels[:, None])
    labels[0, 0, 0] = 4
    with pytest.raises(InputError, match=r"labels go from 0 to 4.*4 classes.*reduce_zero_label"):
        upsampled_cross_entropy(logits, labels)


@pytest.mark.gpu
def test_on_a_gpu_it_is_the_same_without_a_synchronisation():
    logits, labels = made((37, 37), (224, 224), classes=30)
    on_gpu = logits.detach().cuda().requires_grad_()
    upsampled_cross_entropy(on_gpu, labels.cuda())
    there = labels.cuda()
    torch.cuda.set_sync_debug_mode("error")
    try:
        given = upsampled_cross_entropy(on_gpu, there)
        given.total.backward()
    finally:
        torch.cuda.set_sync_debug_mode("default")
    expected = upsampled_cross_entropy(logits, labels)
    expected.total.backward()
    torch.testing.assert_close(given.total.cpu(), expected.total, rtol=1e-5, atol=0)
    torch.testing.assert_close(on_gpu.grad.cpu(), logits.grad, rtol=1e-4, atol=1e-4)
