"""Baked registers on disk and against models: round trips, and every way to be wrong explained."""

from __future__ import annotations

import json
import struct

import pytest
import timm
import torch
from safetensors.torch import save_file

from ttr_backbones.errors import InputError, MissingFileError
from ttr_backbones.registers import BakedRegisters, RegisterNeurons, bake_registers
from ttr_backbones.vits.neurons import LISTS

TINY = "vit_tiny_patch16_224.augreg_in21k_ft_in1k"
SHAPE = (4, 2, 1, 16)


def constants(model="", **provenance):
    return BakedRegisters(
        model, {1: [3]}, torch.randn(SHAPE), torch.randn(SHAPE), provenance=provenance
    )


def test_round_trip(tmp_path):
    saved = constants(TINY, input_size=224, neurons={"doubt": "found on a Sunday"})
    saved.save(tmp_path / "new folder" / "baked.safetensors")
    loaded = BakedRegisters.load(tmp_path / "new folder" / "baked.safetensors")
    assert (loaded.model, loaded.layers, loaded.num) == (TINY, {1: [3]}, 1)
    assert loaded.provenance == saved.provenance
    assert torch.equal(loaded.keys, saved.keys)
    assert torch.equal(loaded.values, saved.values)
    assert loaded.neurons == RegisterNeurons(TINY, {1: [3]})
    assert loaded.neurons.provenance == {"doubt": "found on a Sunday"}


def test_the_file_is_plain_safetensors_with_json(tmp_path):
    constants(TINY).save(tmp_path / "baked.safetensors")
    content = (tmp_path / "baked.safetensors").read_bytes()
    (length,) = struct.unpack("<Q", content[:8])
    header = json.loads(content[8 : 8 + length])
    assert json.loads(header["__metadata__"]["baked_registers"])["layers"] == {"1": [3]}
    assert header["keys"]["shape"] == list(SHAPE)
    assert header["values"]["dtype"] == "F32"


def test_constants_are_float32_on_the_cpu_with_memory_of_their_own(tmp_path):
    keys = torch.randn(SHAPE, dtype=torch.float64, requires_grad=True)
    baked = BakedRegisters("", {1: [3]}, keys, torch.randn(SHAPE).bfloat16())
    assert baked.keys.dtype == baked.values.dtype == torch.float32
    assert not baked.keys.requires_grad
    given = torch.randn(SHAPE)
    baked = BakedRegisters("", {1: [3]}, given, given)
    baked.save(tmp_path / "baked.safetensors")
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


def test_bad_files_are_explained(tmp_path):
    path = tmp_path / "baked.safetensors"
    good = {"keys": torch.randn(SHAPE), "values": torch.randn(SHAPE)}

    def refuses(message, tensors=good, error=InputError, **metadata):
        save_file(tensors, path, metadata=metadata)
        with pytest.raises(error, match=message):
            BakedRegisters.load(path)

    with pytest.raises(MissingFileError, match=r"no baked registers at .*: make the file with"):
        BakedRegisters.load(path)
    path.write_text("{}")
    with pytest.raises(InputError, match=r"is no safetensors file .*: expected a file that"):
        BakedRegisters.load(path)
    refuses("holds no baked registers but keys, values: expected a file that `ttrb bake")
    refuses("its header is no JSON", baked_registers="{")
    told = json.dumps({"model": "", "layers": {"1": [3]}})
    refuses("holds no baked registers but weight", {"weight": torch.ones(1)}, baked_registers=told)
    refuses("holds no baked registers", baked_registers=json.dumps({"model": 1, "layers": {}}))
    nan = {**good, "keys": torch.full(SHAPE, torch.inf)}
    refuses(f"{path}: keys: expected finite", nan, baked_registers=told)
    save_file(good, path, metadata={"baked_registers": told})
    path.write_bytes(path.read_bytes()[:-7])  # a broken download
    with pytest.raises(InputError, match="is no safetensors file"):
        BakedRegisters.load(path)


def test_constants_fit_their_own_weights_only(make_vit):
    vit = make_vit()
    baked = bake_registers(vit, {1: [3]}, torch.randn(2, 3, 64, 64))
    baked.check(vit)
    vit.reset_classifier(0)
    baked.check(vit)
    with pytest.raises(InputError, match=r"made from other weights than the model.*`ttrb bake"):
        baked.check(make_vit(seed=1))
    with pytest.raises(InputError, match=r"half precision.*add the registers first"):
        baked.check(make_vit().half())
    named = timm.create_model("vit_small_patch16_224", depth=4, embed_dim=32, num_heads=2)
    with pytest.raises(InputError, match=f"belong to '{TINY}', the model is 'vit_small_patch16"):
        constants(TINY).check(named)
    with pytest.raises(InputError, match=r"unit 128 of block 1 does not exist"):
        BakedRegisters("", {1: [128]}, torch.ones(SHAPE), torch.ones(SHAPE)).check(vit)
    constants("my_own_vit").check(named)


def test_bundled__those_that_ship_belong_to_the_list_that_ships():
    files = sorted(LISTS.glob("*.safetensors"))
    assert [file.stem for file in files] == [TINY]
    for file in files:
        baked, listed = BakedRegisters.load(file), RegisterNeurons.bundled(file.stem)
        assert baked.model == file.stem
        assert baked.layers == listed.layers
        assert baked.neurons.provenance == listed.provenance
        assert baked.provenance["weights_sha256"] == listed.provenance["weights_sha256"]
        assert file.stat().st_size < 100_000
    assert BakedRegisters.bundled("vit_tiny_patch16_224").model == TINY, "timm's default tag"


def test_bundled__a_model_without_names_the_command_that_makes_them():
    with pytest.raises(InputError, match=r"no baked registers ship for 'vit_small_patch14_dino"):
        BakedRegisters.bundled("vit_small_patch14_dinov2.lvd142m")
    with pytest.raises(InputError, match="`ttrb bake vit_small_patch14_dinov2 --images DIR --out"):
        BakedRegisters.bundled("vit_small_patch14_dinov2")
