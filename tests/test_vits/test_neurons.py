"""`RegisterNeurons`: round trip, published files, and every way a list can be wrong."""

from __future__ import annotations

import json

import pytest
import timm

from ttr_backbones.package_data import NEURON_LISTS
from ttr_backbones.registers import RegisterNeurons

TINY = "vit_tiny_patch16_224.augreg_in21k_ft_in1k"


def test_saved_and_loaded_is_the_same(tmp_path):
    listed = RegisterNeurons("vit_tiny_patch16_224", {7: [417], 6: [189, 59]}, {"images": 200})
    listed.save(tmp_path / "n.json")
    loaded = RegisterNeurons.load(tmp_path / "n.json")
    assert loaded == listed
    assert loaded.provenance == {"images": 200}
    assert list(loaded.layers) == [6, 7]
    assert loaded.layers[6] == [189, 59], "the order inside a block is the ranking"
    assert len(loaded) == 3


def test_published_lists_load(shared):
    for file in sorted((shared / "register_neurons").glob("*.json")):
        listed = RegisterNeurons.load(file)
        assert len(listed) == json.loads(file.read_text())["num_neurons"]
        assert "selection" in listed.provenance


def test_bundled_lists_fit_their_models_and_name_their_source():
    import torch

    files = sorted(NEURON_LISTS.glob("*.json"))
    assert {file.stem for file in files} >= {TINY, "vit_large_patch14_dinov2.lvd142m"}
    for file in files:
        listed = RegisterNeurons.bundled(file.stem)
        assert listed.model == file.stem
        assert listed.provenance["source"]
        with torch.device("meta"):
            listed.check(timm.create_model(file.stem))


def test_the_bundled_dinov2_list_is_the_published_one(shared):
    published = RegisterNeurons.load(shared / "register_neurons/dinov2_vitl14_official_hub.json")
    assert RegisterNeurons.bundled("vit_large_patch14_dinov2.lvd142m") == published


def test_no_list_names_the_command_that_computes_one():
    name = "vit_giant_patch14_dinov2.lvd142m"
    with pytest.raises(ValueError, match=f"`ttrb find-neurons {name} --images DIR"):
        RegisterNeurons.bundled(name)
    with pytest.raises(ValueError, match="no register-neuron list ships for 'my_own_vit'"):
        RegisterNeurons.bundled("my_own_vit")
    with pytest.raises(ValueError, match=f"Did you mean '{TINY}'") as caught:
        RegisterNeurons.bundled(f"{TINY[:-1]}x")
    assert "augreg_in21k_ft_in1x" in str(caught.value)


def test_a_name_without_a_tag_stands_for_timms_default_tag():
    assert RegisterNeurons.bundled("vit_tiny_patch16_224").model == TINY
    large = "vit_large_patch14_dinov2"
    assert RegisterNeurons.bundled(large).model == f"{large}.lvd142m"
    with pytest.raises(ValueError, match=r"ships for 'vit_base_patch16_clip_quickgelu_224\.meta"):
        RegisterNeurons.bundled("vit_base_patch16_clip_quickgelu_224")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("not json", "is not JSON"),
        ("[1, 2]", "is no register-neuron list"),
        ('{"layers": {"1": [2]}}', "is no register-neuron list"),
        ('{"model": "m", "layers": {"1": [-2]}}', "expected a 0-based integer"),
        ('{"model": "m", "layers": {"one": [2]}}', "block index 'one'"),
        ('{"model": "m", "layers": {"1": [true]}}', "unit index True"),
        ('{"model": "m", "layers": {"1": "23"}}', "expected a list of unit indices"),
        ('{"model": "m", "layers": {}}', "is empty"),
        ('{"model": "m", "layers": {"1": [2]}, "indexing_base": 1}', "counts from 1"),
    ],
)
def test_bad_files_are_explained_and_named(tmp_path, content, message):
    file = tmp_path / "bad.json"
    file.write_text(content)
    with pytest.raises(ValueError, match=message) as caught:
        RegisterNeurons.load(file)
    assert "bad.json" in str(caught.value)


def test_missing_file_is_explained(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"no register-neuron list at .*ttrb find-neurons"):
        RegisterNeurons.load(tmp_path / "none.json")


def test_a_fitted_repair_in_the_place_of_a_list_is_sent_to_where_it_goes(tmp_path):
    file = tmp_path / "sinder.safetensors"
    file.write_bytes(b"\x85")
    with pytest.raises(ValueError, match="commands with --repairs take it there"):
        RegisterNeurons.load(file)


@pytest.mark.parametrize(
    ("model", "fits"),
    [
        ("vit_tiny_patch16_224", True),
        (TINY, True),
        ("", True),
        ("my_own_finetuned_vit", True),
        ("vit_tiny_patch16_224.augreg_in21k", False),
        ("vit_tiny_patch16_384", False),
    ],
)
def test_a_list_fits_its_own_checkpoint_only(model, fits):
    vit = timm.create_model(TINY, pretrained=False, depth=8)
    listed = RegisterNeurons(model, {7: [417]})
    if fits:
        listed.check(vit)
    else:
        with pytest.raises(ValueError, match="expected a list of the same checkpoint"):
            listed.check(vit)
