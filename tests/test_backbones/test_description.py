"""Whatever changes the maps of a backbone changes its description, and nothing else does."""

from __future__ import annotations

import copy
import json

import pytest
import torch

from ttr_backbones.backbones import TimmViT
from ttr_backbones.backbones import description as module
from ttr_backbones.backbones.description import description
from ttr_backbones.registers import add_test_time_registers, remove_test_time_registers

SMALL = {"depth": 3, "embed_dim": 32, "num_heads": 2, "init_values": 1.0}
LAYERS = {1: [3, 5]}


def make(model="vit_tiny_patch16_224", kwargs=None, **options):
    torch.manual_seed(0)
    return TimmViT(model, model_kwargs=SMALL | (kwargs or {}), **options)


def test_it_is_plain_data_and_the_same_for_the_same_model():
    told = description(make(repair={"type": "test_time", "neurons": LAYERS}))
    assert json.loads(json.dumps(told)) == told
    assert told == description(make(repair={"type": "test_time", "neurons": LAYERS}))
    assert told["repair"]["layers"] == {"1": [3, 5]}


@pytest.mark.parametrize(
    "other",
    [
        {"repair": {"type": "test_time", "neurons": LAYERS}},
        {"kwargs": {"num_heads": 4}},
        {"kwargs": {"act_layer": torch.nn.ReLU}},
        {"cls_token": "concat"},
        {"pos_embed": "dinov2"},
        {"pad": "corner"},
        {"crop": True},
        {"precision": "bf16"},
    ],
    ids=str,
)
def test_another_model_is_another_description(other):
    x = torch.randn(1, 3, 100, 130)
    with torch.no_grad():
        plain, changed = make()(x)[0], make(**other)(x)[0]
    assert plain.shape != changed.shape or not torch.equal(plain, changed), "the case means nothing"
    assert description(make(**other)) != description(make())


def test_registers_and_weights_are_looked_at_every_time():
    backbone = make()
    plain = description(backbone)
    add_test_time_registers(backbone.vit, LAYERS)
    with_registers = description(backbone)
    remove_test_time_registers(backbone.vit)
    assert description(backbone) == plain != with_registers
    with torch.no_grad():
        backbone.vit.blocks[0].norm1.bias[0] += 1e-3
    changed = description(backbone)
    assert changed["weights_sha256"] != plain["weights_sha256"]
    backbone.vit.load_state_dict(make().vit.state_dict())
    assert description(backbone) == plain
    # A pooled embedding may go through the head.
    headed = make(kwargs={"num_classes": 4})
    before = description(headed)
    torch.nn.init.ones_(headed.vit.head.weight)
    assert description(headed) != before


def test_weights_are_read_once_as_long_as_they_stay(monkeypatch):
    read = []
    whole = module.weights_hash
    monkeypatch.setattr(
        module, "weights_hash", lambda vit, **how: read.append(vit) or whole(vit, **how)
    )
    backbone = make()
    for _ in range(3):
        description(backbone)
        backbone(torch.randn(1, 3, 64, 64))
    assert len(read) == 1
    description(copy.deepcopy(backbone))
    assert len(read) == 2


def test_a_pass_in_bfloat16_does_not_change_it():
    backbone = make(precision="bf16")
    before = description(backbone)
    backbone(torch.randn(1, 3, 64, 64))
    assert description(backbone) == before
    fresh = make(precision="bf16")
    fresh(torch.randn(1, 3, 64, 64))
    assert description(fresh) == before
