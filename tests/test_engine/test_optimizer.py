import pytest
from torch import nn

from ttr_backbones.engine import TrainableOptimWrapperConstructor
from ttr_backbones.errors import InputError

WRAPPER = {"type": "OptimWrapper", "optimizer": {"type": "AdamW", "lr": 0.1, "weight_decay": 0.2}}


@pytest.fixture
def model():
    whole = nn.ModuleDict({"backbone": nn.Linear(3, 3), "decode_head": nn.Linear(3, 2)})
    whole["backbone"].requires_grad_(False)
    return whole


def held(groups):
    return {id(parameter) for group in groups for parameter in group["params"]}


@pytest.mark.parametrize("paramwise", [None, {"custom_keys": {"decode_head": {"lr_mult": 10}}}])
def test_optimizer__holds_what_is_trained(model, paramwise):
    groups = TrainableOptimWrapperConstructor(WRAPPER, paramwise)(model).optimizer.param_groups
    assert held(groups) == {id(parameter) for parameter in model["decode_head"].parameters()}
    assert {group["lr"] for group in groups} == ({0.1} if paramwise is None else {1.0})


def test_optimizer__without_anything_to_train(model):
    model.requires_grad_(False)
    with pytest.raises(InputError, match="no trainable parameter: expected at least those of the"):
        TrainableOptimWrapperConstructor(WRAPPER)(model)
