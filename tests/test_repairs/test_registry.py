"""What holds for every repair: it fits, is saved, goes on, is described, and comes off."""

from __future__ import annotations

import copy
import pickle
import re

import pytest
import torch

from ttr_backbones.errors import InputError
from ttr_backbones.registers import (
    RegisterNeurons,
    add_bias_registers,
    add_test_time_registers,
    bake_registers,
    remove_test_time_registers,
)
from ttr_backbones.repairs import (
    REPAIRS,
    Repair,
    apply_repair,
    describe_repair,
    fit_repair,
    load_repair,
    register_repair,
    remove_repair,
    repair_of,
)
from ttr_backbones.vits.weights_hash import weights_hash

LAYERS = {1: [3, 7], 2: [11]}
# What makes a fit of a repair quick; by default it is given neurons, and need not search them.
OPTIONS = {
    "ph_reg": {"epochs": 1, "views": 2, "registers": 3},
    "average_views": {"views": 3},
    "ring": {},
    "sinder": {
        "steps": 2,
        "lr": 0.1,
        "minimum": 1,
        "rule": "cosine",
        "threshold": 0.3,
        "border": True,
    },
    "projection": {"block": 2},
    "neighbours": {"block": 2, "threshold": 4.5},
}


@pytest.fixture
def images():
    return torch.randn(3, 3, 64, 64, generator=torch.Generator().manual_seed(2))


@pytest.fixture(params=REPAIRS)
def fitted(request, make_vit, images):
    options = OPTIONS.get(request.param, {"neurons": RegisterNeurons("", LAYERS)})
    return fit_repair(request.param, make_vit(), images, **options)


@torch.no_grad()
def test_every_repair__is_saved_applied_and_removed_bit_for_bit(fitted, make_vit, images, tmp_path):
    vit = make_vit()
    before, state = vit(images), {k: v.clone() for k, v in vit.state_dict().items()}
    features = vit.forward_features(images)
    shown = {name: vars(module).keys() for name, module in vit.named_modules()}
    kinds = {name: type(module) for name, module in vit.named_modules()}
    assert describe_repair(vit) is None
    assert fitted.provenance["weights_sha256"] == weights_hash(vit)
    fitted.save(tmp_path / "s.safetensors")
    loaded = load_repair(tmp_path / "s.safetensors")
    assert apply_repair(vit, loaded) is vit
    repaired = vit(images)
    assert not torch.equal(vit.forward_features(images), features)
    repair = repair_of(vit)
    assert repair is REPAIRS[fitted.type]
    described = describe_repair(vit)
    assert described["type"] == fitted.type
    assert vit.state_dict().keys() == state.keys()
    for copied in (copy.deepcopy(vit), pickle.loads(pickle.dumps(vit))):
        assert torch.equal(copied(images), repaired)
        assert describe_repair(copied) == described
    if not repair.changes_weights:
        assert all(torch.equal(state[k], v) for k, v in vit.state_dict().items())
    with pytest.raises(InputError, match="already"):
        apply_repair(vit, loaded)
    with pytest.raises(InputError, match="already"):
        fit_repair(fitted.type, vit, images)
    remove_repair(vit)
    assert torch.equal(vit(images), before)
    assert all(torch.equal(state[k], v) for k, v in vit.state_dict().items())
    assert {name: type(module) for name, module in vit.named_modules()} == kinds
    assert {name: vars(module).keys() for name, module in vit.named_modules()} == shown
    with pytest.raises(InputError, match="no repair to remove"):
        remove_repair(vit)


def test_every_repair__belongs_to_the_weights_that_it_was_fitted_to(fitted, make_vit):
    with pytest.raises(InputError, match="made from other weights than the model has"):
        apply_repair(make_vit(seed=1), fitted)
    with pytest.raises(InputError, match=r"half precision.*apply the repair first"):
        apply_repair(make_vit().half(), fitted)
    half = apply_repair(make_vit(), fitted).half()
    assert describe_repair(half) is not None


@torch.no_grad()
@pytest.mark.parametrize("fitted", ["test_time", "bias"], indirect=True)
def test_test_time_repairs__are_what_the_functions_of_registers_do(fitted, make_vit, images):
    by_hand = {
        "test_time": lambda vit: add_test_time_registers(vit, LAYERS),
        "bias": lambda vit: add_bias_registers(vit, bake_registers(vit, LAYERS, images)),
    }[fitted.type](make_vit())
    vit = apply_repair(make_vit(), fitted)
    assert torch.equal(vit(images), by_hand(images))
    assert describe_repair(vit) == describe_repair(by_hand)
    assert torch.equal(remove_test_time_registers(vit)(images), remove_repair(by_hand)(images))


def test_every_repair__says_what_it_is():
    for name, repair in REPAIRS.items():
        assert repair.type == name
        assert re.fullmatch("#[0-9a-f]{6}", repair.colour)
        assert repair.label
        assert all({**repair.options, **repair.fit_options}.values())
    assert len({repair.colour for repair in REPAIRS.values()}) == len(REPAIRS)
    assert len({repair.label for repair in REPAIRS.values()}) == len(REPAIRS)


@torch.no_grad()
def test_fit_repair__options_are_kept_and_options_of_apply_count_more(make_vit, images, tmp_path):
    options = {"num": 2, "peak": "layer", "keep_cls": True, "scale": [1.0, 0.5]}
    artifact = fit_repair("test_time", make_vit(), images, neurons=LAYERS, **options)
    artifact.save(tmp_path / "s.safetensors")
    artifact = load_repair(tmp_path / "s.safetensors")
    expected = add_test_time_registers(make_vit(), LAYERS, **options)(images)
    assert torch.equal(apply_repair(make_vit(), artifact)(images), expected)
    expected = add_test_time_registers(make_vit(), LAYERS, **options | {"peak": "neuron"})(images)
    assert torch.equal(apply_repair(make_vit(), artifact, peak="neuron")(images), expected)


def test_unknown_names_are_explained(make_vit, images, fitted):
    with pytest.raises(InputError, match=r"unknown type of repair 'bais'. Did you mean 'bias'"):
        fit_repair("bais", make_vit(), images)
    with pytest.raises(InputError, match=r"unknown option of fit_repair with type='.*' 'neurns'"):
        fit_repair(fitted.type, make_vit(), images, neurns=LAYERS)
    with pytest.raises(InputError, match=r"unknown option of apply_repair with type='.*' 'speed'"):
        apply_repair(make_vit(), fitted, speed=1)


@torch.no_grad()
def test_apply_repair__a_failure_on_the_way_leaves_the_model_as_it_was(
    make_vit, images, fitted, monkeypatch
):
    vit, repair = make_vit(), REPAIRS[fitted.type]
    before, apply = vit(images), repair.apply

    def breaks(*args, **options):
        apply(*args, **options)
        raise OSError("the disk is gone")

    monkeypatch.setattr(repair, "apply", breaks)
    with pytest.raises(OSError, match="the disk is gone"):
        apply_repair(vit, fitted)
    assert describe_repair(vit) is None
    assert torch.equal(vit(images), before)


def test_register_repair__a_type_is_taken_once(monkeypatch):
    monkeypatch.setattr("ttr_backbones.repairs.registry.REPAIRS", dict(REPAIRS))

    class Other(Repair):
        type = "bias"

    with pytest.raises(InputError, match="two repairs are called 'bias': BiasRegisters and"):
        register_repair(Other)
