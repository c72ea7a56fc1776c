"""SigLoss against the published formula with boolean indexing, in float64."""

from __future__ import annotations

import copy
import math

import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensorMode

from ttr_backbones.losses import SigLoss


@pytest.fixture
def depths():
    generator = torch.Generator().manual_seed(0)
    pred = torch.rand(3, 1, 7, 9, generator=generator) * 10 + 1e-3
    truth = torch.rand(3, 1, 7, 9, generator=generator) * 10 + 1e-3
    truth[torch.rand(3, 1, 7, 9, generator=generator) < 0.3] = 0
    return pred.requires_grad_(), truth


def published(pred, truth, *, warming_up):
    pred, truth = pred.double()[truth > 0], truth.double()[truth > 0]
    g = torch.log(pred + 0.001) - torch.log(truth + 0.001)
    variance = 0 if warming_up else torch.var(g)
    return torch.sqrt(variance + 0.15 * g.mean() ** 2)


@pytest.mark.parametrize("warm_up", [0, 1])
def test_value_and_gradient_equal_the_published_formula(depths, warm_up):
    pred, truth = depths
    loss = SigLoss(warm_up=warm_up)(pred, truth)
    expected = published(pred, truth, warming_up=bool(warm_up))
    torch.testing.assert_close(loss.double(), expected, rtol=1e-5, atol=0)
    (given,) = torch.autograd.grad(loss, pred)
    (wanted,) = torch.autograd.grad(expected, pred)
    torch.testing.assert_close(given, wanted, rtol=1e-3, atol=1e-8)
    assert not given[truth == 0].any()


def test_the_variance_joins_after_the_first_hundred_calls(depths):
    loss = SigLoss()
    values = [loss(*depths).item() for _ in range(102)]
    warm = published(*depths, warming_up=True).item()
    full = published(*depths, warming_up=False).item()
    assert values[:100] == pytest.approx([warm] * 100, rel=1e-5)
    assert values[100:] == pytest.approx([full] * 2, rel=1e-5)


def test_a_resumed_loss_goes_on_counting(depths):
    loss = SigLoss(warm_up=3)
    for _ in range(2):
        loss(*depths)
    resumed = SigLoss(warm_up=3)
    resumed.load_state_dict(copy.deepcopy(loss.state_dict()))
    for _ in range(3):
        assert torch.equal(loss(*depths), resumed(*depths))
    SigLoss().load_state_dict({}, strict=True)  # a released head has no counter


def test_a_common_factor_costs_its_logarithm_times_the_root_of_0_15():
    truth = torch.full((1, 1, 4, 4), 2.0)
    loss = SigLoss(warm_up=0)(truth * 2, truth)
    assert loss.item() == pytest.approx(0.15**0.5 * math.log(4.001 / 2.001))


@pytest.mark.parametrize("warm_up", [0, 1])
@pytest.mark.parametrize("case", ["perfect", "no truth"])
def test_zero_has_a_zero_gradient(depths, warm_up, case):
    pred = depths[0].detach().clone().requires_grad_()
    truth = pred.detach().clone() if case == "perfect" else torch.zeros_like(pred)
    loss = SigLoss(warm_up=warm_up)(pred, truth)
    loss.backward()
    assert loss.item() == 0
    assert torch.equal(pred.grad, torch.zeros_like(pred))


def test_one_valid_pixel_has_no_variance():
    pred = torch.full((1, 1, 2, 2), 3.0, requires_grad=True)
    truth = torch.tensor([[[[0.0, 1.0], [0.0, 0.0]]]])
    loss = SigLoss(warm_up=0)(pred, truth)
    loss.backward()
    assert loss.item() == pytest.approx(0.15**0.5 * math.log(3.001 / 1.001))
    assert pred.grad.isfinite().all()


def test_what_stands_where_the_truth_is_missing_does_not_matter(depths):
    pred, truth = depths
    broken = pred.detach().clone()
    broken[truth == 0] = torch.nan
    broken.requires_grad_()
    loss = SigLoss(warm_up=0)(broken, truth)
    loss.backward()
    assert torch.equal(loss, SigLoss(warm_up=0)(pred, truth))
    assert broken.grad.isfinite().all()


def test_no_value_is_fetched_from_the_device():
    with FakeTensorMode():  # tensors without values: looking at one, or indexing by a mask, raises
        depth = torch.empty(2, 1, 8, 8, requires_grad=True)
        SigLoss()(depth, torch.empty(2, 1, 8, 8)).backward()


def test_half_precision_is_computed_in_float32(depths):
    pred, truth = depths
    loss = SigLoss(loss_weight=2.0, warm_up=0)(pred.half(), truth)
    assert loss.dtype == torch.float32
    expected = 2 * published(pred.half(), truth, warming_up=False)
    torch.testing.assert_close(loss.double(), expected, rtol=1e-5, atol=0)
