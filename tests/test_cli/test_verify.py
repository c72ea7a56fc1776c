"""`ttrb verify` on the real ViT: the table, the bounds, the exit code, and every error."""

import dataclasses
import json
import re
import shutil

import pytest
import safetensors.torch
import torch

from ttr_backbones.backbones import create_vit
from ttr_backbones.cli import main
from ttr_backbones.neuron_search.references import Excess
from ttr_backbones.neuron_search.verification import Verification
from ttr_backbones.registers import RegisterNeurons
from ttr_backbones.repairs import Artifact

MODEL = "vit_tiny_patch16_224"
TAG = f"{MODEL}.augreg_in21k_ft_in1k"
SEEN = Verification(
    num=0,
    num_images=1,
    num_patches=10**6,
    detect_block=3,
    threshold=50.0,
    outliers_before=0.02,
    outliers_after=0.000001,
    largest_before=500.0,
    largest_after=70.0,
    register_norm=float("nan"),
    cosine=0.89,
    top1_agreement=None,
    excess={"cosine": {"shifted": Excess(0.05, 0.01), "cleared": Excess(0.06, 0.01)}},
)


@pytest.fixture(scope="module")
def photos(shared, tmp_path_factory):
    """Eight photographs."""
    folder = tmp_path_factory.mktemp("photos")
    for file in sorted((shared / "data" / "coco" / "val2017").iterdir())[:8]:
        shutil.copy(file, folder)
    return folder


@pytest.fixture
def listed(tmp_path):
    """Write a list with provenance and return its path."""

    def write(layers, model=TAG, **provenance):
        path = tmp_path / "neurons.json"
        RegisterNeurons(model, layers, provenance).save(path)
        return path

    return write


@pytest.fixture
def verify(tiny_weights, photos):
    """Call it with options; it returns the exit code."""

    def call(*options, model=MODEL, checkpoint=tiny_weights, images=photos):
        arguments = ["--checkpoint", checkpoint, "--images", images, *options]
        return main(["verify", model, *map(str, arguments)])

    return call


@pytest.fixture
def unmeasured(monkeypatch):
    """Measure nothing: what is told of the list comes before."""
    verification = "ttr_backbones.neuron_search.verification.verify_neurons"
    monkeypatch.setattr(verification, lambda *args, **kwargs: SEEN)


def test_verify__the_right_neurons_pass(verify, listed, capsys):
    assert verify("--neurons", listed({6: [189], 7: [417]}), "--num-images", 2) == 0
    shown = capsys.readouterr()
    lines = shown.out.splitlines()
    assert lines[0] == f"{TAG}: 2 neurons, 1 register"
    assert lines[1].startswith("2 images of 224 x 224 px; an outlier patch has a norm above ")
    rows = {cells[0]: cells[1:] for cells in (re.split(r"\s{2,}", line) for line in lines[3:])}
    columns = 5  # as it is, the register, cleared, random, shifted
    for row in ("largest patch norm", "cosine of the other patches", "top-1 agreement"):
        assert len(rows[row]) == columns
    outliers = rows["outlier patches, by norm"]
    assert outliers[0] == outliers[3] != "0 %" == outliers[1] == outliers[2]
    assert rows["tokens added"] == ["1", "0", "1"]
    (verdict,) = (" ".join(text.split()) for text in shown.out.split("\n\n")[1:])
    assert verdict.startswith("passed. Removes the outliers: 0 % of them stay (at most 1 % may)")
    assert verdict.count(": within ") == 2
    assert shown.err == ""


def test_verify__the_bundled_list_is_the_default(verify, capsys):
    assert verify("--num-images", 1, model=TAG) == 0
    assert capsys.readouterr().out.startswith(f"{TAG}: 2 neurons")
    assert verify("--num-images", 1) == 0, "without a tag, timm's default one"
    assert capsys.readouterr().out.startswith(f"{TAG}: 2 neurons")


def test_verify__wrong_neurons_fail(verify, listed, capsys):
    assert verify("--neurons", listed({6: [190], 7: [418]}), "--num-images", 1) == 1
    shown = capsys.readouterr().out
    assert "\nFAILED. Outliers are left: 100 % of them stay" in shown


def test_verify__clearing_alone_is_not_enough(verify, listed, capsys):
    assert verify("--neurons", listed({6: [189], 7: [417]}), "--num", 0, "--num-images", 1) == 1
    shown = capsys.readouterr().out
    assert ", 0 registers\n" in shown
    assert "There is no register, which is a control and no repair." in " ".join(shown.split())


def test_verify__uses_the_list_s_number_of_registers(verify, listed, capsys):
    two = listed({6: [189], 7: [417]}, num_registers=3, options={"num": 2})
    assert verify("--neurons", two, "--num-images", 1) == 0
    assert ", 2 registers\n" in capsys.readouterr().out


def test_verify__reports_another_size(unmeasured, verify, listed, capsys):
    path = listed({6: [189], 7: [417]}, input_size=112)
    verify("--neurons", path, "--size", 160, "--num-images", 1)
    assert "warning" not in capsys.readouterr().err
    verify("--neurons", path, "--size", 176, "--num-images", 1)
    assert "found at 112 px, this run is at 176 px" in capsys.readouterr().err
    path = listed({6: [189], 7: [417]}, input_size=518)
    verify("--neurons", path, "--num-images", 1)
    assert "found at 518 px, this run is at 224 px" in capsys.readouterr().err


def test_verify__repeats_the_list_s_doubts(unmeasured, verify, listed, capsys):
    path = listed({6: [189], 7: [417]}, doubt="found on a Sunday")
    verify("--neurons", path, "--num-images", 1)
    assert f"the register neurons of {TAG}: found on a Sunday" in capsys.readouterr().err


def test_verify__reports_other_weights(unmeasured, verify, listed, capsys):
    verify("--neurons", listed({6: [189], 7: [417]}, weights_sha256="0" * 64), "--num-images", 1)
    assert "the weights are not the ones that the list was found on" in capsys.readouterr().err


def test_verify__weights_without_a_classifier(verify, listed, tiny_weights, tmp_path, capsys):
    state = safetensors.torch.load_file(tiny_weights)
    backbone = {key: value for key, value in state.items() if not key.startswith("head.")}
    safetensors.torch.save_file(backbone, tmp_path / "backbone.safetensors")
    path = listed({6: [189], 7: [417]})
    backbone = tmp_path / "backbone.safetensors"
    assert verify("--neurons", path, "--num-images", 1, checkpoint=backbone) == 0
    assert "The model has no classifier" in " ".join(capsys.readouterr().out.split())


def test_verify__wrong_input(verify, listed, tmp_path, capsys):
    def error(*options, **given):
        assert verify(*options, **given) == 2
        return capsys.readouterr().err

    right = listed({7: [417]})
    assert "no register-neuron list at" in error("--neurons", tmp_path / "none.json")
    assert "no such folder" in error("--neurons", right, images=tmp_path / "none")
    assert "no such file" in error("--neurons", right, checkpoint=tmp_path / "none.pth")
    assert "the number of registers is -1" in error("--neurons", right, "--num", -1)
    other = listed({7: [417]}, model="vit_small_patch16_224.augreg_in21k_ft_in1k")
    assert "belong to 'vit_small_patch16_224.augreg_in21k_ft_in1k'" in error("--neurons", other)
    assert "block 99 does not exist" in error("--neurons", listed({99: [1]}))
    right.write_text(json.dumps({"model": TAG, "layers": {"7": [417]}, "num_registers": "two"}))
    assert "the number of registers is 'two'" in error("--neurons", right)


def test_verify__a_model_without_outliers(verify, listed, tmp_path, capsys):
    torch.manual_seed(0)
    safetensors.torch.save_file(create_vit(MODEL).state_dict(), tmp_path / "untrained.safetensors")
    path = listed({7: [417]})
    assert verify("--neurons", path, checkpoint=tmp_path / "untrained.safetensors") == 2
    assert "no outliers" in capsys.readouterr().err


def test_verify__repairs_side_by_side(verify, listed, tiny_weights, photos, capsys):
    """A list that moves the wrong neurons, one that ships, and its constants."""
    wrong = listed({2: [5]})
    repairs = f"none,test_time,{wrong},bias,test_time:random"
    assert verify("--repairs", repairs, "--num-images", 1) == 1
    lines = capsys.readouterr().out.splitlines()
    rows = {line[:31].strip(): line[31:].replace(" %", "%").split() for line in lines}
    before, ships, moved, bias, random, _ = rows["outlier patches, by norm"]
    assert before == moved == random != ships == bias == "0%"
    assert rows["tokens added"] == ["1", "1", "0", "1"]
    verdicts = [line for line in lines if line.startswith("test-time register")]
    assert [": passed. " in line for line in verdicts] == [True, False, True, False]
    assert verdicts[3].startswith("test-time register, random neurons (control): Outliers are left")
    assert verdicts[1].startswith("test-time register, neurons.json: FAILED. Outliers are left")
    assert verify("--repairs", "bias", "--num", 2) == 2
    assert "--num goes without --repairs" in capsys.readouterr().err
    assert verify("--repairs", "none") == 2
    assert "expected at least one repair" in capsys.readouterr().err
    sinder = Artifact("sinder", TAG, {"0.value": torch.zeros(192)})
    sinder.save(path := listed({2: [5]}).with_suffix(".safetensors"))
    control = dataclasses.replace(
        sinder, provenance={"control_of": sinder.sha256, "direction": "random"}
    )
    control.save(path.with_suffix(".random.safetensors"))
    repairs = f"test_time,test_time:random,{path}:random"
    assert verify("--repairs", repairs, "--num-images", 1) == 0, "no verdict on controls"
