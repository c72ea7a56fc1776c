"""Every head is clipped by its own norm and steps with its own rate."""

import torch
from mmengine.optim import OptimWrapper
from torch import nn

from ttr_backbones.probes import ProbeOptimWrapperConstructor

CLIP = {"max_norm": 1.0, "norm_type": 2}


def model_of(heads):
    model = nn.Module()
    model.decode_head = nn.Module()
    model.decode_head.heads = nn.ModuleList(heads)
    return model


def head(seed):
    torch.manual_seed(seed)
    return nn.Linear(3, 2)


def build(model, lrs):
    cfg = {
        "type": "ProbeOptimWrapper",
        "optimizer": {"type": "AdamW", "lr": 1.0, "weight_decay": 0.1},
        "clip_grad": CLIP,
        "lrs": lrs,
    }
    return ProbeOptimWrapperConstructor(cfg)(model)


def test_heads_step_as_each_would_alone():
    lrs, scales = [0.1, 0.01, 0.1], [100.0, 1.0, 0.01]
    wrapper = build(model := model_of([head(i) for i in range(3)]), lrs)
    x = torch.randn(5, 3)
    for _ in range(4):
        heads = model.decode_head.heads
        loss = sum(scale * h(x).square().sum() for h, scale in zip(heads, scales, strict=True))
        wrapper.update_params(loss)
    for i, (lr, scale) in enumerate(zip(lrs, scales, strict=True)):
        alone = head(i)
        optimizer = torch.optim.AdamW(alone.parameters(), lr=lr, weight_decay=0.1)
        own = OptimWrapper(optimizer, clip_grad=CLIP)
        for _ in range(4):
            own.update_params(scale * alone(x).square().sum())
        for given, expected in zip(heads[i].parameters(), alone.parameters(), strict=True):
            assert torch.equal(given, expected)


def test_frozen_parameters_of_a_head_are_in_no_group():
    heads = [head(0), head(1)]
    heads[1].bias.requires_grad_(False)
    wrapper = build(model_of(heads), [0.1, 0.2])
    groups = wrapper.optimizer.param_groups
    assert [len(group["params"]) for group in groups] == [2, 1]
    assert [group["lr"] for group in groups] == [0.1, 0.2]
