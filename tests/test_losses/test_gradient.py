"""GradientLoss against a loop over scales and pixels, and against what the published one is not."""

from __future__ import annotations

import math

import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensorMode

from ttr_backbones.losses import GradientLoss


def by_hand(pred, truth):
    total = 0.0
    for stride in (1, 2, 4, 8):
        p = pred[:, 0, ::stride, ::stride].double()
        t = truth[:, 0, ::stride, ::stride].double()
        g = torch.log(p + 0.001) - torch.log(t + 0.001)
        steps = 0.0
        for b in range(g.shape[0]):
            for y in range(g.shape[1]):
                for x in range(g.shape[2]):
                    for v, u in ((y + 1, x), (y, x + 1)):
                        inside = v < g.shape[1] and u < g.shape[2]
                        if inside and t[b, y, x] > 0 and t[b, v, u] > 0:
                            steps += abs(float(g[b, v, u] - g[b, y, x]))
        total += steps / max(int((t > 0).sum()), 1)
    return total


def test_equals_a_loop():
    generator = torch.Generator().manual_seed(0)
    pred = torch.rand(2, 1, 17, 11, generator=generator) + 0.5
    truth = torch.rand(2, 1, 17, 11, generator=generator) + 0.5
    truth[torch.rand(truth.shape, generator=generator) < 0.3] = 0
    loss = GradientLoss(loss_weight=0.5)(pred, truth)
    assert loss.item() == pytest.approx(0.5 * by_hand(pred, truth), rel=1e-5)


def test_one_image_has_a_loss():
    """The published code gives 0 for one or two images."""
    truth = torch.full((1, 1, 16, 16), 2.0)
    pred = truth.clone()
    pred[..., 8:] = 4.0
    step = math.log(4.001 / 2.001)
    # One column of steps on every scale, over 16, 8, 4 and 2 columns of pixels.
    expected = step * (1 / 16 + 1 / 8 + 1 / 4 + 1 / 2)
    assert GradientLoss(loss_weight=1.0)(pred, truth).item() == pytest.approx(expected, rel=1e-5)


def test_a_common_factor_costs_nothing():
    truth = torch.rand(1, 1, 8, 8) + 1
    assert GradientLoss()(3 * (truth + 0.001) - 0.001, truth).item() == pytest.approx(0, abs=1e-5)


def test_no_value_is_fetched_from_the_device():
    with FakeTensorMode():  # tensors without values: looking at one, or indexing by a mask, raises
        depth = torch.empty(2, 1, 8, 8, requires_grad=True)
        GradientLoss()(depth, torch.empty(2, 1, 8, 8)).backward()


@pytest.mark.parametrize("truth", [torch.full((1, 1, 4, 4), 3.0), torch.zeros(1, 1, 4, 4)])
def test_zero_has_a_zero_gradient(truth):
    pred = torch.full((1, 1, 4, 4), 3.0, requires_grad=True)
    loss = GradientLoss()(pred, truth)
    loss.backward()
    assert loss.item() == 0
    assert not pred.grad.any()
