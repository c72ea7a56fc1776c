"""`ttrb sweep`: the full table in words and in files, and errors before anything slow."""

import csv
import json

import cv2
import numpy as np
import pytest
import torch
from mmengine.logging import MMLogger

from ttr_backbones.cli import main
from ttr_backbones.registers import BakedRegisters

CONFIG = """
default_scope = "mmseg"
model = dict(
    type="ObjectDiscoverer",
    backbone=dict(
        type="TimmViT", model={model!r}, facet="key", pad="corner", {registers}
        model_kwargs=dict(depth=4, embed_dim=32, num_heads=2, img_size=64),
    ),
    method=dict(type={method!r}),
)
test_dataloader = dict(
    batch_size=2, num_workers=0, sampler=dict(type="DefaultSampler", shuffle=False),
    dataset=dict(type="VOCBoxes", data_root={root!r}, pipeline=[
        dict(type="LoadImage"), {boxes} dict(type="PackBoxInputs"),
    ]),
)
"""
XML = """<annotation><size><width>80</width><height>64</height></size><object>
<bndbox><xmin>17</xmin><ymin>17</ymin><xmax>48</xmax><ymax>48</ymax></bndbox></object></annotation>"""
AXES = ["--blocks", "-1,-2", "--facets", "key,value", "--bias", "0,-0.2"]


@pytest.fixture
def config(tmp_path):
    """Write a config for three images of noise with one box each."""
    root, rng = tmp_path / "VOC2007", np.random.default_rng(0)
    for folder in ("JPEGImages", "Annotations", "ImageSets/Main"):
        (root / folder).mkdir(parents=True)
    for name in "abc":
        noise = rng.integers(0, 256, (64, 80, 3), dtype=np.uint8)
        cv2.imwrite(str(root / "JPEGImages" / f"{name}.jpg"), noise)
        (root / "Annotations" / f"{name}.xml").write_text(XML)
    (root / "ImageSets/Main/trainval.txt").write_text("a\nb\nc\n")

    def write(**changes):
        options = {
            "model": "vit_tiny_patch16_224",
            "registers": "repair=dict(type='test_time', neurons={1: [3]}),",
            "method": "lost",
            "boxes": 'dict(type="LoadBoxes"),',
            "root": str(root),
        }
        path = tmp_path / "config.py"
        path.write_text(CONFIG.format(**(options | changes)))
        return ["sweep", str(path), "--out", str(tmp_path / "out"), *AXES]

    return write


def test_sweep__prints_and_saves_the_full_table(config, tmp_path, capsys):
    # A logger of its own: mmengine's says the same warning once only.
    MMLogger.get_instance(str(tmp_path), logger_name="mmengine")
    assert main([*config(), "--normalize", "--cross-validate", "5"]) == 0
    printed = capsys.readouterr()
    assert "is frozen with random weights" in printed.err, "stdout is for the table"
    table, _, held_out = printed.out.partition("\n\n")
    head, *lines = table.splitlines()
    assert head.split()[:7] == [
        "repair",
        "block",
        "facet",
        "normalize",
        "bias",
        "CorLoc",
        "collapsed",
    ]
    cells = [line.split() for line in lines[:-1]]
    assert len(cells) == 2 * 2 * 2 * 2 * 2
    assert [cell[0] for cell in cells] == ["none"] * 16 + ["test_time"] * 16
    assert {cell[1] for cell in cells} == {"2", "3"}
    assert sum(cell[-1] == "*" for cell in cells) == 2, "the best of either kind of registers"
    assert "chosen on the evaluation set itself" in lines[-1]
    with (tmp_path / "out" / "sweep.csv").open() as file:
        rows = list(csv.DictReader(file))
    told = json.loads((tmp_path / "out" / "sweep.json").read_text())
    assert [row["CorLoc"] for row in rows] == [str(row["CorLoc"]) for row in told["rows"]]
    assert [float(cell[5]) for cell in cells] == [row["CorLoc"] for row in told["rows"]]
    for kind in ("none", "test_time"):
        same = [row for row in told["rows"] if row["repair"] == kind]
        best = [row for row in same if row["best"]]
        assert best[0]["CorLoc"] == max(row["CorLoc"] for row in same)
    assert told["rows"][0]["images"] == 3
    head, plain, repaired, note, _ = held_out.splitlines()
    assert head.split()[:4] == ["repair", "held-out", "CorLoc", "difference"]
    for line, row in zip((plain, repaired), told["held_out"], strict=True):
        assert line.startswith(f"{row['repair']} ")
        assert f"{row['held_out']:.2f} ± {row['std']:.2f}" in line
        assert row["splits"] == 5
    assert "the other way round" in note
    with (tmp_path / "out" / "held_out.csv").open() as file:
        saved = list(csv.DictReader(file))
    assert [float(row["held_out"]) for row in saved] == [
        row["held_out"] for row in told["held_out"]
    ]


def test_sweep__names_trained_registers_and_does_without_a_list(config, tmp_path, capsys):
    reg4 = "vit_small_patch14_reg4_dinov2.lvd142m"
    assert main(config(model=reg4, registers="")) == 0
    captured = capsys.readouterr()
    assert {line.split()[0] for line in captured.out.splitlines()[1:9]} == {"trained"}
    assert "the sweep is without the repair 'test_time': no register-neuron list" in captured.err
    assert main([*config(model=reg4), "--repairs", "test_time"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert {line.split()[0] for line in lines[1:9]} == {"trained+test_time"}


def test_sweep__names_registers_that_are_no_tokens(config, tmp_path, capsys):
    constants = torch.ones(4, 2, 1, 16)
    BakedRegisters("", {1: [3]}, constants, constants).artifact.save(tmp_path / "baked.safetensors")
    bias = f"repair=dict(type='bias', artifact={str(tmp_path / 'baked.safetensors')!r}),"
    assert main(config(registers=bias)) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines[1:17]] == ["none"] * 8 + ["bias"] * 8
    assert main(config(registers="repair=dict(type='bias'),", model="vit_small_patch16_224")) == 0
    assert "the sweep is without the repair 'bias': no artifact" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("changes", "argv", "message"),
    [
        ({}, ["--facets", "keys"], "--facets: unknown facet 'keys'. Did you mean 'key'"),
        ({}, ["--blocks", "last"], "--blocks last: expected whole numbers separated by commas"),
        (
            {},
            ["--bias", "0,,1"],
            "separated by commas, as in 0,-0.1, got ''",
        ),
        ({}, ["--blocks", "-5"], "blocks names block -5, the model has blocks 0..3"),
        ({}, ["--cross-validate", "0"], "expected at least 1 split and a seed of at least 0"),
        ({}, ["--repairs", "trained"], "--repairs: unknown choice 'trained'"),
        ({"method": "tokencut"}, [], "model.method.type='lost', this one has 'ObjectDiscoverer'"),
        ({"boxes": ""}, [], "came without true boxes"),
        ({"root": "nowhere"}, [], "VOCBoxes expects a folder at nowhere"),
        (
            {"registers": ""},
            ["--repairs", "test_time", "--cfg-options", "model.backbone.model=vit_base_r26_s32"],
            "no register-neuron list ships for",
        ),
    ],
)
def test_sweep__errors(config, changes, argv, message, capsys):
    assert main([*config(**changes), *argv]) == 2
    assert message in capsys.readouterr().err
