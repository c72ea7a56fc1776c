"""`ttrb test` on a file in the format of DINOv2's released heads, which the test writes."""

from collections import OrderedDict

import cv2
import numpy as np
import pytest
import torch

from ttr_backbones.cli import main


def released_head(channels=32, classes=150, winner=2):
    """A head as DINOv2 publishes it; whatever the image, it predicts the class `winner`."""
    state = OrderedDict()
    state["decode_head.conv_seg.weight"] = torch.zeros(classes, channels, 1, 1)
    state["decode_head.conv_seg.bias"] = torch.nn.functional.one_hot(
        torch.tensor(winner), classes
    ).float()
    for name in ("weight", "bias", "running_mean", "running_var"):
        state[f"decode_head.bn.{name}"] = torch.ones(channels)
    state["decode_head.bn.num_batches_tracked"] = torch.tensor(40000)
    meta = {
        "CLASSES": ("wall", "building"),
        "PALETTE": [[120, 120, 120]],
        "epoch": 12,
        "iter": 40000,
    }
    return {"meta": meta, "state_dict": state}


def evaluate(config, folder, content, *options):
    torch.save(content, folder / "head.pth")
    arguments = ["test", str(config), str(folder / "head.pth"), "--work-dir", str(folder / "work")]
    return main([*arguments, *options])


def test_released_head__predicts_with_its_own_weights(config, tmp_path, capsys):
    out, show = tmp_path / "out", tmp_path / "show"
    # A config of mmseg's: no hook draws, images are normalised unlike the backbone's, and the
    # images of training are not here.
    foreign = ["default_hooks=None", "custom_hooks=None", "visualizer=None"]
    foreign += ["model.data_preprocessor.mean=[123.675,116.28,103.53]"]
    foreign += ["train_dataloader.dataset.data_root=nowhere"]
    options = ["--out", str(out), "--show-dir", str(show), "--cfg-options", *foreign]
    assert evaluate(config, tmp_path, released_head(), *options) == 0
    masks = [cv2.imread(str(path), cv2.IMREAD_UNCHANGED) for path in out.glob("*.png")]
    assert len(masks) == 2
    assert {int(value) for mask in masks for value in np.unique(mask)} == {3}  # ADE's own numbers
    assert len(list(show.glob("**/*.png"))) == 2
    told = capsys.readouterr()
    assert "mIoU" in told.out
    assert "normalises unlike the backbone's pretraining. mean: the config has" in told.out
    added = "added to custom_hooks: SafeCheckpoint, SaveOnSignal, CheckNormalization, CheckInput"
    assert added in told.err


def test_released_head__with_tta_and_a_backbone_in_the_file(config, tmp_path, capsys):
    content = released_head()
    content["state_dict"]["backbone.vit.cls_token"] = torch.ones(1)  # of another shape
    assert evaluate(config, tmp_path, content, "--tta", "--out", str(tmp_path / "out")) == 0
    assert "1 backbone.* tensors of the checkpoint" in capsys.readouterr().out
    mask = cv2.imread(str(next((tmp_path / "out").glob("*.png"))), cv2.IMREAD_UNCHANGED)
    assert np.unique(mask).tolist() == [3]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (released_head(channels=128), "multi-scale (ms) head over four maps: take the _ms config"),
        ({"state_dict": {"cls_token": torch.ones(1)}}, "this is no checkpoint of such a model"),
        ({"model": slice(3)}, "holds Python objects besides tensors"),
    ],
    ids=["ms head", "backbone", "pickle"],
)
def test_wrong_file__is_refused(config, tmp_path, capsys, content, message):
    assert evaluate(config, tmp_path, content) == 2
    assert message in capsys.readouterr().err


def test_missing_checkpoint(config, tmp_path, capsys):
    assert main(["test", str(config), "--work-dir", str(tmp_path)]) == 2
    assert "the checkpoint is missing: ttrb test CONFIG CHECKPOINT" in capsys.readouterr().err
    options = ["--work-dir", str(tmp_path)]  # the checkpoint may stand behind them
    assert main(["test", str(config), *options, str(tmp_path / "no.pth")]) == 2
    assert "no.pth does not exist or is no file" in capsys.readouterr().err


def test_tta__needs_its_part_of_the_config(config, tmp_path, capsys):
    plain = tmp_path / "plain.py"
    plain.write_text(config.read_text().partition("tta_model")[0])
    assert evaluate(plain, tmp_path, released_head(), "--tta") == 2
    assert "--tta needs tta_pipeline, which the config does not have" in capsys.readouterr().err


def test_show__without_a_screen(config, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("sys.platform", "linux")
    for name in ("DISPLAY", "WAYLAND_DISPLAY"):
        monkeypatch.delenv(name, raising=False)
    assert evaluate(config, tmp_path, released_head(), "--show") == 2
    assert "--show needs a screen, and this machine has none" in capsys.readouterr().err
    for options, told in (
        (["--show", "--show-dir", "show"], "leave out --show or --show-dir"),
        (["--wait-time", "1"], "--wait-time is how long --show shows a prediction: add --show"),
    ):
        assert evaluate(config, tmp_path, released_head(), *options) == 2
        assert told in capsys.readouterr().err


def test_out__needs_a_metric_that_saves(config, tmp_path, capsys):
    options = ["--out", str(tmp_path), "--cfg-options", "test_evaluator.type=CityscapesMetric"]
    assert evaluate(config, tmp_path, released_head(), *options) == 2
    assert (
        "--out works with the metrics IoUMetric, NamedIoUMetric, NYUDepthMetric, CorLocMetric"
        in capsys.readouterr().err
    )
