"""`ttrb train --probe-grid`: every head ends as it would have alone, and `ttrb test` takes it."""

import csv
import json

import pytest
import torch

from ttr_backbones.cli import main

LAST = 12
# mmseg's dropout draws from the one stream of the run; the heads of a grid share it.
OPTIONS = ["--cfg-options", "model.decode_head.dropout_ratio=0"]
GRID = ["lr=1e-2,1e-3,1e30", "block=-1,0+1", "norm=on,off", "seed=3"]
LOST = "lr1e30"


def load(path):
    return torch.load(path, weights_only=True)


@pytest.fixture(scope="module")
def grid(config, tmp_path_factory):
    """The work dir of a run of twelve heads, four of which diverge."""
    work_dir = tmp_path_factory.mktemp("grid")
    argv = ["train", str(config), "--work-dir", str(work_dir), "--probe-grid", *GRID, *OPTIONS]
    assert main(argv) == 0
    return work_dir


def heads(work_dir):
    return sorted(path.name for path in (work_dir / "probes").iterdir())


@pytest.mark.slow
def test_every_head_ends_as_it_does_alone_and_tests_to_its_score(grid, tmp_path, capsys):
    rows = list(csv.DictReader((grid / "probes.csv").open()))
    names = [name for name in heads(grid) if not name.startswith(LOST)]
    assert len(names) == 8
    # Every value of every axis; all pairs of two values take twice as long.
    for name in (names[0], names[3], names[5], names[6]):
        folder = grid / "probes" / name
        alone = tmp_path / name
        argv = ["train", str(folder / "config.py"), "--work-dir", str(alone)]
        assert main(argv) == 0
        given = load(folder / f"iter_{LAST}.pth")["state_dict"]
        expected = load(alone / f"iter_{LAST}.pth")["state_dict"]
        assert given.keys() == expected.keys()
        for key, tensor in expected.items():
            torch.testing.assert_close(
                given[key], tensor, rtol=1e-4, atol=1e-6, msg=f"{name} {key}"
            )
        argv = ["test", str(folder / "config.py"), str(folder / f"iter_{LAST}.pth")]
        assert main(argv) == 0
        tested = json.loads(max(folder.glob("2*/2*.json")).read_text())["mIoU"]
        (score,) = [
            float(row["mIoU"])
            for row in rows
            if row["probe"] == name and row["iteration"] == str(LAST)
        ]
        assert tested == pytest.approx(score)
    assert (
        len(
            {
                load(grid / "probes" / n / f"iter_{LAST}.pth")["state_dict"][
                    "decode_head.conv_seg.bias"
                ]
                .sum()
                .item()
                for n in names
            }
        )
        == 8
    ), "eight different heads"


def test_heads_that_diverge_are_told_and_leave_no_checkpoint(grid):
    told = json.loads((grid / "probes.json").read_text())
    lost = [name for name in heads(grid) if name.startswith(LOST)]
    assert len(lost) == 4
    assert sorted(told["diverged"]) == lost
    assert all(1 <= iteration <= 4 for iteration in told["diverged"].values())
    assert not any(list((grid / "probes" / name).glob("*.pth")) for name in lost)


def test_the_best_head_is_named_and_kept(grid):
    told = json.loads((grid / "probes.json").read_text())
    best = max(told["scores"], key=lambda row: row["mIoU"])
    assert told["metric"] == "mIoU"
    assert told["best"]["value"] == best["mIoU"]
    folder = grid / "probes" / told["best"]["name"]
    assert (folder / f"iter_{told['best']['iteration']}.pth").is_file()
    assert (folder / f"iter_{LAST}.pth").is_file()
    assert len(list(folder.glob("iter_*.pth"))) <= 2
    log = max(grid.glob("2*/2*.log")).read_text()
    assert f"The best of 12 heads is {told['best']['name']}: mIoU" in log
    assert "ttrb test" in log.splitlines()[-1] or "ttrb test" in log


def test_the_choice_of_a_head_is_scored_on_the_other_half(grid):
    """Of two images each half is one: what no metric of all images says."""
    told = json.loads((grid / "probes.json").read_text())
    for row in told["held_out"]:
        of_all = [r["mIoU"] for r in told["scores"] if r["iteration"] == row["iteration"]]
        assert row["all_images"] == max(of_all)
        assert (row["images"], row["splits"], row["std"]) == (2, 100, pytest.approx(0, abs=1e-9))
        assert row["held_out"] <= row["chosen_on"]
        assert row["probe"] not in told["diverged"]
    assert [row["iteration"] for row in told["held_out"]] == [4, 8, 12]
    log = max(grid.glob("2*/2*.log")).read_text()
    assert log.count("held out: mIoU") == 4, "below each table, and with the best"


def test_a_resumed_grid_ends_as_one_in_one_piece(config, tmp_path):
    grid = ["--probe-grid", "lr=1e-2,1e30", "seed=3,4", *OPTIONS]
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    assert main(["train", str(config), "--work-dir", str(whole), *grid]) == 0
    argv = ["train", str(config), "--work-dir", str(parts), *grid]
    assert main([*argv, "train_cfg.max_iters=8"]) == 0
    assert main([*argv, "--resume"]) == 0
    told = [json.loads((path / "probes.json").read_text()) for path in (whole, parts)]
    assert told[0] == told[1]
    assert len(told[0]["diverged"]) == 2
    for name in ("lr1e-2_seed3", "lr1e-2_seed4"):
        states = [
            load(p / "probes" / name / f"iter_{LAST}.pth")["state_dict"] for p in (whole, parts)
        ]
        for key, tensor in states[0].items():
            assert torch.equal(states[1][key], tensor), f"{name} {key}"


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["--probe-grid", "lr=fast"], "expected learning rates above 0"),
        (
            ["--probe-grid", "block=2"],
            "names block 2, the model has blocks 0..1",
        ),
        (
            ["--probe-grid", "lr=1", "--cfg-options", "model.backbone.frozen=False"],
            "model.backbone.frozen=False: expected True",
        ),
        (
            ["--probe-grid", "lr=1", "--cfg-options", "model.backbone.facet=key"],
            "model.backbone.facet='key': expected 'token'",
        ),
        (["--probe-grid", "lr=1e30", *OPTIONS], "all 1 heads have diverged, the last one at"),
    ],
)
def test_what_cannot_be_a_grid_is_explained(config, tmp_path, capsys, argv, message):
    assert main(["train", str(config), "--work-dir", str(tmp_path), *argv]) == 2
    error = capsys.readouterr().err
    assert message in error
    assert "Traceback" not in error


def test_amp_is_refused_on_a_gpu(config, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("ttr_backbones.app.runner.get_device", lambda: "cuda")
    argv = ["train", str(config), "--work-dir", str(tmp_path), "--amp", "--probe-grid", "lr=1"]
    assert main(argv) == 2
    assert "leave --amp out" in capsys.readouterr().err
