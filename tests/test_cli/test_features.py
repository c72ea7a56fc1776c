"""`ttrb features`: killed and resumed, by two processes, of a timm model and of a config."""

import shutil
import time

import pytest

from ttr_backbones import SavedFeatures
from ttr_backbones.cli import main

TAG = "vit_tiny_patch16_224.augreg_in21k_ft_in1k"


@pytest.fixture
def arguments(shared, tiny_weights):
    """Arguments for 17 photographs in shards of two, but for --out."""
    return [
        *("features", TAG, "--images", str(shared / "data/VOCdevkit/VOC2007/JPEGImages")),
        *("--checkpoint", str(tiny_weights), "--repair", "auto", "--size", "224"),
        *("--batch-size", "2", "--shard-size", "2", "--device", "cpu", "--out"),
    ]


def contents(out):
    return {path.name: path.read_bytes() for path in out.iterdir()}


@pytest.mark.nightly
def test_killed_and_resumed_by_two__gives_the_same_files(
    arguments, start_forked, two_processes, tmp_path
):
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    process = start_forked(main, [*arguments, str(killed)])
    while not list(killed.glob("features-*")):
        assert process.is_alive()
        time.sleep(0.005)
    process.kill()
    process.join()
    assert 0 < len(list(killed.glob("features-*"))) < 9
    assert main([*arguments, str(whole)]) == 0
    ranks = two_processes(main, [*arguments, str(killed)], join=False)
    assert [rank.value for rank in ranks] == [0, 0]
    assert any("features of 17 images" in rank.out for rank in ranks)
    assert contents(whole) == contents(killed)
    assert len(contents(whole)) == 1 + 9


def test_config__gives_backbone_and_normalisation(shared, tiny_weights, tmp_path, capsys):
    images = shared / "data/coco/val2017"
    arguments = ["features", "augreg_vitt16_ttr_lin1_nyu_200it", "--out", str(tmp_path / "out")]
    (tmp_path / "images").mkdir()
    for path in sorted(images.iterdir())[:2]:
        shutil.copy(path, tmp_path / "images")
    arguments += ["--images", str(tmp_path / "images"), "--checkpoint", str(tiny_weights)]
    options = ["--cfg-options", "model.data_preprocessor.mean=[1, 2, 3]"]
    assert main([*arguments, "--size", "64", "--blocks", "-1,5", "--repair", "none", *options]) == 0
    assert "features of 2 images: " in capsys.readouterr().out
    features = SavedFeatures(tmp_path / "out")
    assert features.shape(features.names[0])[:3] == (2, 384, 4)  # patch and CLS token side by side
    assert features.settings["blocks"] == [11, 5]
    assert features.settings["repair"] is None
    assert features.settings["mean"] == [1, 2, 3]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--blocks", "last"], "--blocks last: expected whole numbers"),
        (["--images", "nowhere"], "nowhere: no such folder"),
        (["--checkpoint", "no.pth"], "--checkpoint no.pth: no such file"),
        (["--repair", "no.json"], "no register-neuron list at no.json"),
        (["--cfg-options", "a=1"], "--cfg-options change a config"),
    ],
)
def test_wrong_arguments(arguments, tmp_path, capsys, options, message):
    assert main([*arguments, str(tmp_path), *options]) == 2
    assert message in capsys.readouterr().err


def test_model__that_is_neither(arguments, tmp_path, capsys):
    arguments[1] = "vit_tiny_patch61_224"
    assert main([*arguments, str(tmp_path)]) == 2
    error = capsys.readouterr().err
    assert "unknown timm model or config 'vit_tiny_patch61_224'" in error
    assert "vit_tiny_patch16_224" in error


def test_launcher__has_to_be_there(arguments, tmp_path, capsys, monkeypatch):
    monkeypatch.delenv("SLURM_PROCID", raising=False)
    assert main([*arguments, str(tmp_path), "--launcher", "slurm"]) == 2
    assert "expects the environment variable SLURM_PROCID" in capsys.readouterr().err


def test_environment__that_makes_no_sense(arguments, tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("RANK", "2")
    monkeypatch.setenv("WORLD_SIZE", "2")
    assert main([*arguments, str(tmp_path)]) == 2
    assert "expected 0 <= RANK < WORLD_SIZE" in capsys.readouterr().err
