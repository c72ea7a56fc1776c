"""Baked registers against artifacts and models: every way to be wrong explained."""

from __future__ import annotations

import dataclasses

import pytest
import timm
import torch

from ttr_backbones.errors import InputError
from ttr_backbones.registers import BakedRegisters, RegisterNeurons, bake_registers
from ttr_backbones.repairs import REPAIRS, load_repair

TINY = "vit_tiny_patch16_224.augreg_in21k_ft_in1k"
SHAPE = (4, 2, 1, 16)


def constants(model="", **provenance):
    return BakedRegisters(
        model, {1: [3]}, torch.randn(SHAPE), torch.randn(SHAPE), provenance=provenance
    )


def test_round_trip(tmp_path):
    saved = constants(TINY, input_size=224, neurons={"doubt": "found on a Sunday"})
    saved.artifact.save(tmp_path / "new folder" / "baked.safetensors")
    loaded = BakedRegisters.of(load_repair(tmp_path / "new folder" / "baked.safetensors"))
    assert (loaded.model, loaded.layers, loaded.num) == (TINY, {1: [3]}, 1)
    assert loaded.provenance == saved.provenance
    assert torch.equal(loaded.keys, saved.keys)
    assert torch.equal(loaded.values, saved.values)
    assert loaded.neurons == RegisterNeurons(TINY, {1: [3]})
    assert loaded.neurons.provenance == {"doubt": "found on a Sunday"}


def test_constants_are_float32_on_the_cpu_with_memory_of_their_own():
    keys = torch.randn(SHAPE, dtype=torch.float64, requires_grad=True)
    baked = BakedRegisters("", {1: [3]}, keys, torch.randn(SHAPE).bfloat16())
    assert baked.keys.dtype == baked.values.dtype == torch.float32
    assert not baked.keys.requires_grad
    given = torch.randn(SHAPE)
    baked = BakedRegisters("", {1: [3]}, given, given)
    given.zero_()
    assert baked.keys.any()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"keys": torch.randn(4, 2, 16)},
            r"keys: expected \[blocks, heads, R, head_dim\], got \(4",
        ),
        ({"keys": torch.randn(4, 2, 0, 16)}, r"got \(4, 2, 0, 16\)"),
        ({"values": [1.0]}, "values: expected .*, got list"),
        ({"values": torch.ones(SHAPE, dtype=torch.int64)}, "floating-point numbers, got torch.int"),
        ({"values": torch.full(SHAPE, torch.nan)}, "values: expected finite numbers, got NaN"),
        ({"keys": torch.randn(4, 2, 2, 16)}, "expected one shape"),
        ({"layers": {}}, "is empty: expected at least one unit"),
        ({"layers": {1: [-3]}}, "unit index -3"),
    ],
)
def test_bad_constants_are_explained(change, message):
    given = {"layers": {1: [3]}, "keys": torch.randn(SHAPE), "values": torch.randn(SHAPE)} | change
    with pytest.raises(InputError, match=message):
        BakedRegisters("", **given)


def test_of__an_artifact_that_lacks_something_is_explained():
    good = constants().artifact
    for change in (
        {"tensors": {"weight": torch.ones(1)}},
        {"tensors": {"keys": good.tensors["keys"]}},
        {"facts": {}},
        {"facts": {"layers": 3}},
    ):
        with pytest.raises(InputError, match=r"has the tensors keys and values.*`ttrb repair bias"):
            BakedRegisters.of(dataclasses.replace(good, **change))


def test_constants_fit_their_own_weights_only(make_vit):
    vit = make_vit()
    baked = bake_registers(vit, {1: [3]}, torch.randn(2, 3, 64, 64))
    baked.check(vit)
    vit.reset_classifier(0)
    baked.check(vit)
    with pytest.raises(InputError, match=r"made from other weights than.*`ttrb repair bias"):
        baked.check(make_vit(seed=1))
    with pytest.raises(InputError, match=r"half precision.*apply the repair first"):
        baked.check(make_vit().half())
    named = timm.create_model("vit_small_patch16_224", depth=4, embed_dim=32, num_heads=2)
    with pytest.raises(InputError, match=f"belongs to '{TINY}', the model is 'vit_small_patch16"):
        constants(TINY).check(named)
    with pytest.raises(InputError, match=r"unit 128 of block 1 does not exist"):
        BakedRegisters("", {1: [128]}, torch.ones(SHAPE), torch.ones(SHAPE)).check(vit)
    constants("my_own_vit").check(named)


def test_shipped__belong_to_the_list_that_ships():
    files = REPAIRS["bias"].shipped_files()
    assert list(files) == [TINY]
    for name, file in files.items():
        baked, listed = BakedRegisters.of(load_repair(file)), RegisterNeurons.bundled(name)
        assert baked.model == name
        assert baked.layers == listed.layers
        assert baked.neurons.provenance == listed.provenance
        assert baked.provenance["weights_sha256"] == listed.provenance["weights_sha256"]
        assert file.stat().st_size < 100_000
    assert REPAIRS["bias"].shipped("vit_tiny_patch16_224").model == TINY, "timm's default tag"


def test_shipped__a_model_without_names_the_command_that_makes_them():
    with pytest.raises(InputError, match=r"ships for 'vit_small_patch14_dino"):
        REPAIRS["bias"].shipped("vit_small_patch14_dinov2.lvd142m")
    with pytest.raises(InputError, match="`ttrb repair bias vit_small_patch14_dinov2 --images DIR"):
        REPAIRS["bias"].shipped("vit_small_patch14_dinov2")
