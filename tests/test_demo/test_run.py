"""The demo end to end, in short, and its table."""

import json

import pytest
from mmengine.config import Config
from PIL import Image

from ttr_backbones.datasets import scenes
from ttr_backbones.demo import planted
from ttr_backbones.demo.run import BEFORE, PLANTED, REGISTER, Row, format_table, run_demo
from ttr_backbones.errors import InputError
from ttr_backbones.packaged import configs_dir


@pytest.mark.slow
def test_one_seed_end_to_end(tmp_path, capsys):
    told = []
    rows = run_demo(tmp_path, [0], iterations=40, num_train=64, num_val=20, tell=told.append)
    assert [row.model for row in rows] == [BEFORE, PLANTED, REGISTER]
    before, hurt, after = rows
    assert before.outlier_fraction == 0
    assert hurt.outlier_fraction > 0.02
    assert after.outlier_fraction == 0
    assert hurt.largest_norm > 100 > 10 > after.largest_norm
    assert hurt.miou < before.miou - 1
    assert abs(after.miou - before.miou) < 1

    assert json.loads((tmp_path / "results.json").read_text())[1]["miou"] == hurt.miou
    assert "PLANTED" in (tmp_path / "table.txt").read_text()
    assert Image.open(tmp_path / "outliers.png").size[0] > 1000
    assert any(line.startswith("seed 0 / planted: mIoU") for line in told)
    heads = sorted(path.parent.name for path in (tmp_path / "runs").glob("*/iter_40.pth"))
    assert len(heads) == 3
    assert "mmengine" not in capsys.readouterr().out


def test_table_has_means_and_every_seed():
    rows = [
        Row(seed, name, fraction, norm + seed, miou + seed)
        for seed in (0, 2)
        for name, fraction, norm, miou in (
            (BEFORE, 0.0, 5.0, 70.0),
            (PLANTED, 0.08, 120.0, 60.0),
            (REGISTER, 0.0, 5.0, 69.5),
        )
    ]
    lines = [line.split() for line in format_table(rows).splitlines()]
    assert lines[2] == ["before", "planting", "0.00", "%", "7.0", "71.00"]
    assert lines[3] == ["planted", "8.00", "%", "122.0", "61.00"]
    assert lines[9] == ["seed", "2"]
    assert lines[12] == ["planted", "+", "test-time", "register", "0.00", "%", "7.0", "71.50"]


def test_configs_state_the_facts_of_the_planted_model_and_the_scenes():
    cfg = Config.fromfile(configs_dir() / "demo" / "planted_ttr_linear_scenes.py")
    assert cfg.model.backbone.model == planted.MODEL
    assert cfg.model.backbone.model_kwargs == planted.MODEL_KWARGS
    assert cfg.model.backbone.registers.neurons == {planted.BLOCK: planted.UNITS}
    assert cfg.model.decode_head.num_classes == len(scenes.CLASSES)
    for loader in (cfg.train_dataloader, cfg.val_dataloader):
        assert tuple(loader.dataset.metainfo.classes) == scenes.CLASSES
        assert tuple(map(tuple, loader.dataset.metainfo.palette)) == scenes.PALETTE


@pytest.mark.parametrize("seeds", [[], [1, 1], [-1]])
def test_wrong_seeds_are_refused(tmp_path, seeds):
    with pytest.raises(InputError, match="expected different integers from 0 on"):
        run_demo(tmp_path, seeds)
