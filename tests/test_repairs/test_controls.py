"""Controls by name: derived by `apply`, or fitted again as their artifact was."""

import pytest
import torch
from PIL import Image

from ttr_backbones.cli.fitted_controls import fitted_control_file, unfitted_controls
from ttr_backbones.compare.repair_names import repair_colour, repair_folder, repair_label
from ttr_backbones.errors import InputError
from ttr_backbones.neuron_search.controls import random_neurons
from ttr_backbones.registers import RegisterNeurons, add_test_time_registers
from ttr_backbones.repairs import Artifact, apply_repair, fit_repair, load_repair, remove_repair
from ttr_backbones.repairs.controls import fit_control, fitted_control, is_stored
from ttr_backbones.repairs.from_config import parse_repair, parse_repairs
from ttr_backbones.vits.class_swap import sharing_copy

TAG = "vit_tiny_patch16_224.augreg_in21k_ft_in1k"
FIT = {"rule": "std", "threshold": 1.5, "border": True, "minimum": 1, "lr": 1e-3, "seed": 4}


def drawings(folder, count=4):
    folder.mkdir()
    generator = torch.Generator().manual_seed(count)
    for index in range(count):
        pixels = torch.randint(0, 255, (64, 64, 3), generator=generator, dtype=torch.uint8)
        Image.fromarray(pixels.numpy()).save(folder / f"{index}.png")
    return folder


def test_fitted__as_the_artifact_was_but_for_the_direction(make_vit, tmp_path):
    vit, folder = make_vit(), drawings(tmp_path / "photos")
    path = tmp_path / "mine.safetensors"
    given = {"batch_size": 2, "steps": 3, **FIT}
    fit_repair("sinder", vit, folder, direction="block", **given).save(path)
    text = f"{path}:random"
    assert fitted_control(text) == tmp_path / "mine.random.safetensors"
    assert not is_stored(text)
    with pytest.raises(InputError, match="has to be trained: name the artifact"):
        parse_repair(text)
    with pytest.raises(InputError, match="was fitted on with --fit-images DIR"):
        unfitted_controls([text], None)
    with pytest.raises(InputError, match=r"other photographs than those that .* was fitted on"):
        fit_control(text, vit, drawings(tmp_path / "others", 3))
    with pytest.raises(InputError, match="made from other weights"):
        fit_control(text, make_vit(seed=1), folder)
    control = load_repair(fit_control(text, vit, folder))
    assert is_stored(text)
    assert unfitted_controls([text], None) == []
    assert fitted_control_file(text) == str(fitted_control(text))
    again = fit_repair("sinder", vit, folder, direction="random", **given)
    assert control.sha256 == again.sha256
    assert control.tensors
    assert control.provenance["fit"]["steps"] == 3
    assert repair_label(str(fitted_control(text))) == (
        "SINDER, random direction (control), mine.random"
    )
    none = fit_repair("sinder", vit, folder, direction="random", **given | {"threshold": 30.0})
    assert not none.tensors, "where a random direction finds no defects, the control is the model"
    fit_repair("sinder", vit, folder, direction="block", **given | {"steps": 4}).save(path)
    assert not is_stored(text), "it belongs to another artifact now"


def test_derived__random_neurons_cleared_ones_and_a_random_direction(make_vit):
    vit, images = make_vit(), torch.randn(2, 3, 64, 64)
    listed = RegisterNeurons("", {1: [3, 5], 2: [7]})
    artifact = fit_repair("test_time", vit, images, neurons=listed)
    drawn = random_neurons(vit, listed, torch.Generator().manual_seed(0))
    with torch.no_grad():
        scaled = fit_repair("test_time", vit, images, neurons=listed, num=2, scale=[1.0, 2.0])
        for control, neurons, num in (("random", drawn, 1), ("cleared", listed, 0)):
            apply_repair(sharing_copy(vit), scaled, control=control)
            repaired = apply_repair(sharing_copy(vit), artifact, control=control)
            expected = add_test_time_registers(sharing_copy(vit), neurons, num)
            assert torch.equal(repaired(images), expected(images))
        plain = vit(images)
        fitted = fit_repair("projection", vit, images, block=1)
        outputs = [
            apply_repair(sharing_copy(vit), fitted, **options)(images)
            for options in ({}, {"control": "random"}, {"control": "random"})
        ]
        assert torch.equal(outputs[1], outputs[2])
        assert not torch.allclose(outputs[0], outputs[1])
        remove_repair(apply_repair(vit, fitted, control="random"))
        assert torch.equal(vit(images), plain)
    with pytest.raises(InputError, match="unknown control of projection 'randm'"):
        apply_repair(vit, fitted, control="randm")


def test_words__of_the_command_line(tmp_path):
    (tmp_path / "a").mkdir()
    path = tmp_path / "a" / "ph.safetensors"
    Artifact("ph_reg", TAG, {"registers": torch.zeros(2, 192)}).save(path)
    found = parse_repairs(["test_time", "test_time:random", f"{path}:noise", str(path)], TAG)
    assert {name: choice.label for name, choice in found.items()} == {
        "test_time": "test-time register",
        "test_time:random": "test-time register, random neurons (control)",
        "ph_reg:noise": "PH-Reg, registers of noise (control)",
        "ph_reg": "PH-Reg",
    }
    assert [choice.is_control for choice in found.values()] == [False, True, True, False]
    assert repair_label(f"{path}:shuffled") == "PH-Reg, shuffled registers (control), ph"
    assert repair_folder(f"{path}:shuffled") == "ph.safetensors-shuffled"
    assert repair_colour("ph_reg:noise") != repair_colour("ph_reg")
    config = {"type": "test_time", "neurons": "auto", "peak": "layer", "control": "cleared"}
    kept = {"type": "test_time", "neurons": "auto", "peak": "layer"}
    assert parse_repair("auto", config) == kept
    assert parse_repair("auto:random", config) == {**kept, "control": "random"}
    for text, message in (
        ("test_time:randm", "unknown control of test_time 'randm'. Did you mean 'random'"),
        ("bias:random", "a repair of type 'bias' has no control"),
        ("sinder:random", "has to be trained: name the artifact"),
        ("none:random", "none"),
    ):
        with pytest.raises(InputError, match=message):
            parse_repair(text)
