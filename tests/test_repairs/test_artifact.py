"""The one file of all repairs: what is in it comes back, and whatever is wrong with it is told."""

from __future__ import annotations

import json
import struct

import pytest
import timm
import torch
from safetensors.torch import save_file

from ttr_backbones.errors import InputError, MissingFileError
from ttr_backbones.registers import RegisterNeurons
from ttr_backbones.repairs import Artifact, load_repair

TINY = "vit_tiny_patch16_224.augreg_in21k_ft_in1k"
ENTRY = "ttr_backbones.repair"
LISTED = {"layers": {"1": [3]}, "num": 2}


def test_round_trip__tensors_of_every_kind_facts_and_provenance(tmp_path):
    tensors = {
        "delta": torch.randn(2, 3, dtype=torch.float64, requires_grad=True),
        "half": torch.randn(3).bfloat16(),
        "index": torch.tensor([3, 1]),
        "turned": torch.arange(6.0).reshape(2, 3).T,
    }
    facts, provenance = {"blocks": (1, 2), "limit": 0.1}, {"num_images": 7, "note": "Ü"}
    saved = Artifact("own", TINY, tensors, facts, provenance)
    saved.save(tmp_path / "new folder" / "s.safetensors")
    loaded = Artifact.load(tmp_path / "new folder" / "s.safetensors")
    assert (loaded.type, loaded.model) == ("own", TINY)
    assert (loaded.facts, loaded.provenance) == ({"blocks": [1, 2], "limit": 0.1}, provenance)
    assert loaded.tensors.keys() == tensors.keys()
    for name, tensor in loaded.tensors.items():
        assert tensor.dtype == (torch.int64 if name == "index" else torch.float32)
        assert torch.equal(tensor, tensors[name].detach().to(tensor.dtype))
        assert torch.equal(tensor, saved.tensors[name])
    assert loaded.sha256 == saved.sha256


def test_sha256__counts_what_decides_and_nothing_else():
    base = Artifact("own", "a", {"x": torch.ones(2)}, {"limit": 1}, {"date": "today"})
    same = Artifact("own", "b", {"x": torch.ones(2)}, {"limit": 1}, {"date": "tomorrow"})
    assert same.sha256 == base.sha256
    others = [
        Artifact("other", "a", {"x": torch.ones(2)}, {"limit": 1}),
        Artifact("own", "a", {"x": torch.ones(2)}, {"limit": 2}),
        Artifact("own", "a", {"x": torch.zeros(2)}, {"limit": 1}),
        Artifact("own", "a", {"y": torch.ones(2)}, {"limit": 1}),
        Artifact("own", "a", {"x": torch.ones(2, 1)}, {"limit": 1}),
    ]
    assert len({base.sha256, *(other.sha256 for other in others)}) == 6


def test_the_file_is_plain_safetensors_with_json(tmp_path):
    Artifact("own", TINY, {"x": torch.ones(2)}, {"limit": 1}).save(tmp_path / "s.safetensors")
    content = (tmp_path / "s.safetensors").read_bytes()
    (length,) = struct.unpack("<Q", content[:8])
    header = json.loads(content[8 : 8 + length])
    assert header["x"] == {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}
    told = json.loads(header["__metadata__"][ENTRY])
    assert told == {"type": "own", "model": TINY, "facts": {"limit": 1}, "provenance": {}}


def test_load_repair__a_json_list_is_the_artifact_of_test_time_registers(tmp_path):
    listed = RegisterNeurons(TINY, {1: [3]}, {"weights_sha256": "00", "doubt": "found on a Sunday"})
    listed.save(tmp_path / "list.json")
    artifact = load_repair(tmp_path / "list.json")
    assert (artifact.type, artifact.model) == ("test_time", TINY)
    assert artifact.facts == {"layers": {"1": [3]}}
    assert artifact.provenance == {"neurons": listed.provenance, "weights_sha256": "00"}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"tensors": {"x": [1.0]}}, "x: expected a tensor, got list"),
        ({"tensors": {"x": torch.full((1,), torch.nan)}}, "x: expected finite numbers, got NaN"),
        ({"facts": {"x": torch.ones(1)}}, "facts of a repair's artifact: .*not JSON"),
        ({"provenance": {"x": {1, 2}}}, "provenance of a repair's artifact: .*not JSON"),
    ],
)
def test_bad_values_are_explained(change, message):
    with pytest.raises(InputError, match=message):
        Artifact(**{"type": "own", "model": ""} | change)


def test_bad_files_are_explained(tmp_path):
    path = tmp_path / "s.safetensors"

    def refuses(message, told, tensors=None):
        header = told if isinstance(told, str) else json.dumps(told)
        save_file(tensors or {}, path, metadata={ENTRY: header})
        with pytest.raises(InputError, match=message):
            load_repair(path)

    with pytest.raises(MissingFileError, match=r"no artifact of a repair at .*fit_repair"):
        load_repair(path)
    path.write_text("{}")
    with pytest.raises(InputError, match=r"is no safetensors file .*: expected a file that"):
        load_repair(path)
    save_file({"weight": torch.ones(1)}, path)
    with pytest.raises(InputError, match="is no artifact of a repair, it holds weight: expected"):
        load_repair(path)
    good = {"type": "test_time", "model": "", "facts": LISTED, "provenance": {}}
    refuses("its header is no JSON", "{")
    refuses("its header is no JSON", "[" * 100_000)
    for key in good:
        refuses("it holds nothing", {name: good[name] for name in good if name != key})
        refuses("it holds nothing", good | {key: 3})
    refuses(
        "unknown type of repair 'test_tim'. Did you mean 'test_time'", good | {"type": "test_tim"}
    )
    refuses(r"has `layers`.* and no tensors", good, {"x": torch.ones(1)})
    refuses(r"has `layers`", good | {"facts": {}})
    refuses("unit index -3", good | {"facts": {"layers": {"1": [-3]}}})
    refuses("unknown options speed: expected some of", good | {"facts": LISTED | {"speed": 1}})
    refuses("scale=.*finite", good | {"facts": LISTED | {"scale": [float("inf")]}})
    refuses(f"{path}: x: expected finite", good, {"x": torch.full((1,), torch.inf)})
    save_file({}, path, metadata={ENTRY: json.dumps(good)})
    assert load_repair(path).facts == LISTED
    path.write_bytes(path.read_bytes()[:-7])  # a broken download
    with pytest.raises(InputError, match="is no safetensors file"):
        load_repair(path)


def test_check_weights__another_models_artifact_is_refused(make_vit):
    named = timm.create_model("vit_small_patch16_224", depth=4, embed_dim=32, num_heads=2)
    with pytest.raises(InputError, match=f"belongs to '{TINY}', the model is 'vit_small_patch16"):
        Artifact("own", TINY).check_weights(named, "it")
    Artifact("own", "my_own_vit").check_weights(named, "it")
    Artifact("own", TINY).check_weights(make_vit(), "it")
