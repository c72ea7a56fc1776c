"""The demo end to end, in short, and its table."""

import json
import logging

import pytest
from mmengine.logging import MMLogger
from PIL import Image

from ttr_backbones.datasets import scenes
from ttr_backbones.demo import planted
from ttr_backbones.demo.run import BEFORE, PLANTED, REGISTER, DemoRow, format_table, run_demo
from ttr_backbones.demo.tasks import DEMONSTRATIONS
from ttr_backbones.errors import InputError
from ttr_backbones.recipes import recipe


@pytest.mark.nightly
def test_segmentation_end_to_end(tmp_path, capsys):
    told = []
    rows = run_demo(tmp_path, [0], iterations=40, num_train=64, num_val=8, log=told.append)
    assert [row.model for row in rows] == [BEFORE, PLANTED, REGISTER]
    before, hurt, after = rows
    assert before.outlier_fraction == 0
    assert hurt.outlier_fraction > 0.02
    assert after.outlier_fraction == 0
    assert hurt.largest_norm > 100 > 10 > after.largest_norm
    assert hurt.score < before.score - 1
    assert abs(after.score - before.score) < 1

    numbers = json.loads((tmp_path / "segmentation.json").read_text())
    assert (numbers["task"], numbers["metric"]) == ("segmentation", "mIoU")
    assert numbers["rows"][1]["score"] == hurt.score
    assert "PLANTED" in (tmp_path / "segmentation.txt").read_text()
    assert Image.open(tmp_path / "segmentation.png").size[0] > 1000
    assert any(line.startswith("seed 0 / planted: mIoU") for line in told)
    heads = sorted(path.parent.name for path in (tmp_path / "runs").glob("*/iter_40.pth"))
    assert heads == [
        "planted_linear_scenes_seed0_before",
        "planted_linear_scenes_seed0_planted",
        "planted_ttr_linear_scenes_seed0_planted",
    ]
    assert "mmengine" not in capsys.readouterr().out


@pytest.mark.nightly
def test_depth_end_to_end(tmp_path):
    rows = run_demo(tmp_path, [0], task="depth", iterations=60, num_train=64, num_val=20)
    before, hurt, after = rows
    assert hurt.outlier_fraction > 0.02 > after.outlier_fraction == 0
    assert before.score < hurt.score  # metres of error
    assert abs(after.score - before.score) < 0.5 * (hurt.score - before.score)
    assert json.loads((tmp_path / "depth.json").read_text())["metric"] == "rmse"
    assert Image.open(tmp_path / "depth.png").size[0] > 1000


def test_object_discovery_end_to_end(tmp_path):
    rows = run_demo(tmp_path, [0], task="object-discovery", num_train=64, num_val=40)
    before, hurt, after = rows
    assert hurt.score < before.score - 5
    assert after.score > hurt.score + 5
    assert not list(tmp_path.glob("runs/*/*.pth"))  # there is nothing to train
    assert list(tmp_path.glob("runs/*/*/*.log"))
    loggers = MMLogger._instance_dict.values()
    assert not [h for log in loggers for h in log.handlers if isinstance(h, logging.FileHandler)
                and h.baseFilename.startswith(str(tmp_path))]  # fmt: skip
    assert Image.open(tmp_path / "object-discovery.png").size[0] > 1000


def test_table_has_means_and_every_seed():
    rows = [
        DemoRow(seed, name, fraction, norm + seed, miou + seed)
        for seed in (0, 2)
        for name, fraction, norm, miou in (
            (BEFORE, 0.0, 5.0, 70.0),
            (PLANTED, 0.08, 120.0, 60.0),
            (REGISTER, 0.0, 5.0, 69.5),
        )
    ]
    lines = [
        line.split() for line in format_table(rows, DEMONSTRATIONS["segmentation"]).splitlines()
    ]
    assert lines[2] == ["before", "planting", "0.00", "%", "7.0", "71.00"]
    assert lines[3] == ["planted", "8.00", "%", "122.0", "61.00"]
    assert lines[9] == ["seed", "2"]
    assert lines[12] == ["planted", "+", "test-time", "register", "0.00", "%", "7.0", "71.50"]
    in_metres = format_table(rows, DEMONSTRATIONS["depth"]).splitlines()
    assert in_metres[0].split()[-1] == "RMSE"
    assert in_metres[2].split()[-1] == "71.000"
    assert "lower is better" in in_metres[-1]


@pytest.mark.parametrize("task", DEMONSTRATIONS)
def test_configs_state_the_facts_of_the_planted_model(task):
    plain = recipe(DEMONSTRATIONS[task].config).to_dict()
    with_register = recipe(DEMONSTRATIONS[task].ttr_config).to_dict()
    assert plain["model"]["backbone"]["model"] == planted.MODEL
    assert plain["model"]["backbone"]["model_kwargs"] == planted.MODEL_KWARGS
    registers = with_register["model"]["backbone"].pop("repair")
    assert registers == {"type": "test_time", "neurons": {planted.BLOCK: planted.UNITS}}
    assert with_register == plain


def test_configs_state_the_facts_of_the_scenes():
    cfg = recipe("planted_linear_scenes")
    assert cfg.model.decode_head.num_classes == len(scenes.CLASSES)
    for loader in (cfg.train_dataloader, cfg.val_dataloader):
        assert tuple(loader.dataset.metainfo.classes) == scenes.CLASSES
        assert tuple(map(tuple, loader.dataset.metainfo.palette)) == scenes.PALETTE


def test_an_unknown_task_is_refused(tmp_path):
    with pytest.raises(InputError, match=r"unknown task 'dept'\. Did you mean 'depth'"):
        run_demo(tmp_path, [0], task="dept")


@pytest.mark.parametrize("seeds", [[], [1, 1], [-1]])
def test_wrong_seeds_are_refused(tmp_path, seeds):
    with pytest.raises(InputError, match="expected different integers from 0 on"):
        run_demo(tmp_path, seeds)
