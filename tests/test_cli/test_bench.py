"""`ttrb bench search` and `discovery`: a table, a file of numbers, and errors in words."""

import json

import cv2
import numpy as np
import pytest

from ttr_backbones.cli import main

SMALL = ["--num-images", "2", "--batch-size", "2", "--rounds", "1"]


def test_bench_search__without_a_file(monkeypatch, capsys):
    monkeypatch.setattr("ttr_backbones.cli.bench.MODEL", "vit_tiny_patch16_224")
    assert main(["bench", "search", *SMALL]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("vit_tiny_patch16_224 (random), 2 images of 224 x 224 px (random)")
    for name in ("plain forward passes", "search, one pass", "search, two passes", "one image at"):
        assert any(line.startswith(name) for line in lines)
    assert lines[-1] == "all searches find the same ten neurons"


def test_bench_search__on_photographs_with_numbers_in_a_file(tmp_path, capsys):
    folder = tmp_path / "photos"
    folder.mkdir()
    rng = np.random.default_rng(0)
    for index in range(3):
        cv2.imwrite(str(folder / f"{index}.png"), rng.integers(0, 256, (80, 90, 3), dtype=np.uint8))
    out = tmp_path / "bench.json"
    argv = ["bench", "search", "--model", "vit_tiny_patch16_224", "--images", str(folder), *SMALL]
    assert main([*argv, "--json", str(out)]) == 0
    told = json.loads(out.read_text(encoding="utf-8"))
    assert told["setting"]["num_images"] == 2
    assert told["setting"]["images"] == str(folder)
    assert set(told["speedup"]) == {"search, one pass", "search, two passes"}
    assert told["timings"]["plain forward passes"]["forwards"] == 1.0
    assert told["same_neurons"]


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["--num-images", "0"], "--num-images 0: expected a number above 0"),
        (["--rounds", "0"], "--rounds 0: expected a number above 0"),
        (["--checkpoint", "none.pth"], "--checkpoint none.pth: no such file"),
        (["--json", "nowhere/b.json"], "--json nowhere/b.json: no folder nowhere"),
        (["--images", "nowhere", "--model", "vit_tiny_patch16_224"], "nowhere: no such folder"),
        (["--model", "vit_tiny_patch16_223"], "Did you mean 'vit_tiny_patch16_224'"),
        (["--device", "nonsense"], "--device nonsense cannot be used here"),
    ],
)
def test_bench_search__errors(argv, message, capsys):
    assert main(["bench", "search", *argv]) == 2
    assert message in capsys.readouterr().err


def test_bench_discovery__table_and_numbers_in_a_file(tmp_path, capsys):
    out = tmp_path / "bench.json"
    model = ["--model", "vit_tiny_patch16_224", "--size", "128", "--json", str(out)]
    assert main(["bench", "discovery", *model, *SMALL]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("vit_tiny_patch16_224 (random), 2 images of 128 x 128 px (random)")
    for name in ("backbone", "LOST, batched", "LOST, one image at a time", "not the backbone"):
        assert any(line.startswith(name) for line in lines)
    assert lines[-1] == "2 of 2 images have the same box both ways"
    told = json.loads(out.read_text(encoding="utf-8"))
    assert told["setting"]["size"] == [128, 128]
    assert told["speedup"] > 0


def test_bench__asks_what_to_measure(capsys):
    with pytest.raises(SystemExit) as stopped:
        main(["bench"])
    assert stopped.value.code == 2
    assert "required: {search,discovery}" in capsys.readouterr().err
