"""A head's first weights depend on the seed alone, and are spread as its layers spread them."""

from __future__ import annotations

import pytest
import torch
from mmengine.model import BaseModule
from torch import nn

from ttr_backbones.heads import DPTDepthHead, LinearDepthHead, LinearSegHead

MAKE = {
    "linear segmentation": lambda **kw: LinearSegHead([32, 64], num_classes=21, **kw),
    "linear depth": lambda **kw: LinearDepthHead([32], n_bins=64, **kw),
    "DPT": lambda **kw: DPTDepthHead([64] * 4, channels=32, **kw),
}


@pytest.fixture(params=MAKE)
def make(request):
    return MAKE[request.param]


def started(make, before=0, run=7, **kwargs):
    """State of a head whose run has the seed `run` and drew `before` numbers for other things."""
    torch.manual_seed(run)
    torch.randn(before)
    head = make(**kwargs)
    torch.randn(before)
    head.init_weights()
    return head.state_dict()


def equal(one, other):
    assert one.keys() == other.keys()
    return all(torch.equal(value, other[name]) for name, value in one.items())


def test_one_seed_one_start_whatever_was_drawn_before(make):
    first = started(make)
    assert equal(first, started(make, before=1000))
    assert equal(first, started(make, run=3, before=5, init_seed=7)), "init_seed is the run's seed"


def usual(make, seed):
    """State of a head that mmengine has started."""
    torch.manual_seed(seed)
    head = make()
    BaseModule.init_weights(head)
    return head.state_dict()


def test_another_seed_is_another_start_in_every_tensor_that_is_drawn(make):
    first, run, own = started(make), started(make, run=8), started(make, init_seed=8)
    assert equal(run, own)
    one, other = usual(make, 0), usual(make, 1)
    drawn = {name for name in one if not torch.equal(one[name], other[name])}
    assert drawn == {name for name in first if not torch.equal(first[name], run[name])} != set()


def test_the_global_stream_stays_where_it_was(make):
    torch.manual_seed(7)
    head = make(init_seed=3)
    before, seed = torch.get_rng_state(), torch.initial_seed()
    head.init_weights()
    assert torch.equal(torch.get_rng_state(), before)
    assert torch.initial_seed() == seed


def test_the_spread_is_that_of_the_layers_themselves(make):
    """Of mmengine's own initialisation, in 20 draws of each: range and mean square."""

    theirs = [usual(make, seed) for seed in range(20)]
    ours = [started(make, init_seed=seed) for seed in range(100, 120)]
    for name in theirs[0]:
        a, b = (torch.stack([state[name].float() for state in states]) for states in (theirs, ours))
        if a.std() == 0:
            assert torch.equal(a, b), name
        elif a[0].numel() >= 20:
            assert b.std().item() == pytest.approx(a.std().item(), rel=0.1), name
            assert b.abs().max().item() == pytest.approx(a.abs().max().item(), rel=0.3), name


def test_parameters_stay_the_objects_that_an_optimizer_holds(make):
    head = make()
    before = [(parameter, parameter.data_ptr()) for parameter in head.parameters()]
    head.init_weights()
    for (parameter, address), now in zip(before, head.parameters(), strict=True):
        assert now is parameter
        assert now.data_ptr() == address


def test_a_second_call_draws_nothing(make):
    head = make(init_seed=1)
    head.init_weights()
    with torch.no_grad():
        for parameter in head.parameters():
            parameter.fill_(2.0)
    head.init_weights()
    assert all((parameter == 2).all() for parameter in head.parameters())


def test_the_model_around_a_head_starts_it(make):
    class Model(BaseModule):
        def __init__(self):
            super().__init__()
            self.backbone = nn.Linear(3, 3)
            self.decode_head = make(init_seed=5)

    model = Model()
    model.init_weights()
    assert equal(model.decode_head.state_dict(), started(make, init_seed=5))
    assert model.decode_head.is_init


def test_init_cfg_still_has_the_last_word():
    init_cfg = {"type": "Constant", "val": 3.0, "override": {"name": "conv_seg"}}
    state = started(MAKE["linear segmentation"], init_cfg=init_cfg)
    assert (state["conv_seg.weight"] == 3).all()
