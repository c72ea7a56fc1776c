"""`ttrb export`: what it writes and tells, and how it refuses."""

import pytest
import torch

from ttr_backbones.cli import main
from ttr_backbones.export import check
from ttr_backbones.export.files import open_pt2

pytestmark = pytest.mark.exports

TAG = "vit_tiny_patch16_224.augreg_in21k_ft_in1k"


@pytest.fixture
def arguments(tiny_weights, tmp_path):
    """Arguments for the real ViT with its register, as a .pt2 file of 32 x 48 pixels."""
    out = tmp_path / "out" / "model.pt2"
    return ["export", TAG, str(tiny_weights), "--repair", "auto", "--out", str(out)]


@pytest.mark.nightly
def test_timm_model(arguments, tmp_path, capsys):
    assert main([*arguments, "--blocks", "1,-12", "--size", "32", "48"]) == 0
    shown = capsys.readouterr()
    path = tmp_path / "out" / "model.pt2"
    assert shown.out.splitlines()[0] == f"{path}: {TAG}, images of 32 x 48 -> map_0, map_1"
    assert shown.out.count("compared at ") == 2
    assert "compared at 2 x 32 x 48: largest difference " in shown.out
    assert "tracing the model" in shown.err
    outputs = open_pt2(path)(torch.zeros(1, 3, 32, 48))
    assert [outputs[name].shape for name in ("map_0", "map_1")] == [(1, 192, 2, 3)] * 2


def test_mismatch__is_exit_code_1_and_leaves_what_was_there(
    arguments, tmp_path, capsys, monkeypatch
):
    out = tmp_path / "out" / "model.pt2"
    out.parent.mkdir()
    out.write_bytes(b"old")
    monkeypatch.setattr(check, "TOLERANCE", -1.0)
    plain = ["--repair", "none", "--blocks", "0"]  # little to trace
    assert main([*arguments, *plain, "--size", "32", "48"]) == 1
    error = capsys.readouterr().err
    assert "ttrb: error: " in error
    assert "model.pt2 is not written, it differs from the model. 2 x 32 x 48: largest" in error
    assert [file.name for file in out.parent.iterdir()] == ["model.pt2"]
    assert out.read_bytes() == b"old"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--out", "model.pth"], "--out model.pth: unknown suffix '.pth'."),
        (["--size", "33", "48", "--dynamic"], "--dynamic takes images of any size"),
        (["--blocks", "last"], "--blocks last: expected whole numbers"),
        (["--blocks", "12"], "out_indices names block 12"),
        (["--repair", "no.json"], "no register-neuron list at no.json"),
        (["--size", "0", "48"], "expected numbers above 0"),
        (["--batch", "0"], "batch=0"),
        (["--opset", "20"], "--opset 20 is for .onnx files"),
    ],
)
def test_wrong_arguments(arguments, tmp_path, capsys, options, message):
    assert main([*arguments, *options]) == 2
    assert message in capsys.readouterr().err
    assert not list(tmp_path.rglob("*.pt2"))


def test_no_such_model(tmp_path, capsys):
    assert main(["export", "vit_tiny_patch61_224", "--out", str(tmp_path / "model.pt2")]) == 2
    assert "unknown timm model or config 'vit_tiny_patch61_224'" in capsys.readouterr().err


def test_no_network(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    assert main(["export", TAG, "--out", str(tmp_path / "model.pt2")]) == 2
    assert f"the weights of {TAG} could not be had" in capsys.readouterr().err


def test_folder_that_cannot_be_written(arguments, tmp_path, capsys):
    (tmp_path / "file").write_text("")
    assert main([*arguments, "--out", str(tmp_path / "file" / "model.pt2")]) == 2
    assert f"{tmp_path / 'file'} is a file" in capsys.readouterr().err


def test_size_that_the_config_cannot_pad(arguments, tmp_path, capsys):
    config = "augreg_vitt16_ttr_lost_voc07"
    out = ["--out", str(tmp_path / "model.pt2")]
    options = ["--cfg-options", "model.backbone.pad=None", "model.backbone.pretrained=False"]
    for size, message in (
        (["--size", "33", "48"], "33 x 48 pixels is no multiple of the 16 x 16 patch and pad=None"),
        (["--dynamic"], "--dynamic with pad=None"),
    ):
        assert main(["export", config, *out, *size, *options]) == 2
        assert message in capsys.readouterr().err
