"""`ttrb compare`: reuse, resume, Ctrl-C, failures; on a random ViT and drawn images."""

import csv
import json
import re
import signal
from pathlib import Path

import pytest
import torch

from ttr_backbones.cli import compare, main
from ttr_backbones.compare import cells, run_cells
from ttr_backbones.compare.stored_image_parts import read_parts
from ttr_backbones.heads import LinearSegHead
from ttr_backbones.repairs import Artifact
from ttr_backbones.tasks import TASKS

pytestmark = pytest.mark.usefixtures("quick_cells")

LAST = 6
OPTIONS = [
    f"train_cfg.max_iters={LAST}",
    f"train_cfg.val_interval={LAST}",
    "default_hooks.checkpoint.interval=2",
]


@pytest.fixture
def run(config, tmp_path):
    """Run `ttrb compare` on the small config."""

    def run(*more, options=(), out=tmp_path / "out", registers="none", seeds="0", path=config):
        arguments = ["compare", str(path), "--out", str(out), "--repairs", registers]
        return main([*arguments, "--seeds", seeds, *more, "--cfg-options", *OPTIONS, *options])

    run.out = tmp_path / "out"
    return run


def results(out):
    return {path.parent.name: json.loads(path.read_text()) for path in out.rglob("result.json")}


def forbid(monkeypatch):
    def fail(*_):
        pytest.fail("this cell was finished, and it was run again")

    monkeypatch.setattr(cells, "_run", fail)


def test_finished__is_reused_and_a_changed_config_is_run_anew(run, monkeypatch, capsys):
    assert run(seeds="0,1") == 0
    first = capsys.readouterr()
    assert first.err.splitlines()[0].startswith("[1/2] tiny, none, seed 0: mIoU ")
    assert len(first.err.splitlines()) == 2, "one line per cell, and nothing else on the screen"
    LinearSegHead([3], num_classes=2).init_weights()  # which mmengine notes in the run's open logs
    before = results(run.out)
    for folder in run.out.rglob("seed*"):  # the parts of single images make the value again
        images = read_parts(folder, TASKS["segmentation"])
        assert [Path(name).name for name in images.names] == ["val_0.jpg", "val_1.jpg"]
        again = TASKS["segmentation"].image_parts.score(images.parts.sum(axis=0))
        assert before[folder.name]["value"] == pytest.approx(again, abs=0.006)  # mmseg rounds

    assert run(seeds="0", options=["optim_wrapper.optimizer.lr=1e-4"]) == 0
    told = capsys.readouterr().err
    (old,) = (name for name in before if name.startswith("seed0"))
    assert f"the config has changed; earlier results stay in {old})" in told
    after = results(run.out)
    assert len(after) == 3
    assert before.items() <= after.items()
    assert len({result["fingerprint"] for result in after.values()}) == 3

    forbid(monkeypatch)
    speed = ["default_hooks.logger.interval=1", "test_dataloader.persistent_workers=False"]
    assert run(seeds="0,1", options=speed) == 0
    second = capsys.readouterr()
    # The lines below the table name the options.
    assert second.out.partition("The configs")[0] == first.out.partition("The configs")[0]
    assert " ± " in second.out
    assert second.err.count("reused)") == 2


def test_ctrl_c__saves_stops_with_130_and_the_same_command_goes_on(
    run, monkeypatch, capsys, tmp_path
):
    def interrupt(line, told):
        if line._number == 2 and told.startswith("training 5/6"):
            signal.raise_signal(signal.SIGINT)

    # A shell that starts the tests in the background has SIGINT ignored.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with monkeypatch.context() as patched:
            patched.setattr(run_cells.CellProgress, "update", interrupt)
            assert run(seeds="0,1") == 130
    finally:
        signal.signal(signal.SIGINT, before)
    stopped = capsys.readouterr().err
    assert "[2/2] tiny, none, seed 1: interrupted\n" in stopped
    assert "ttrb: interrupted; 1 of 2 cells are done. The same command goes on" in stopped
    assert " 1 of 2 " in (run.out / "table.txt").read_text()
    assert len(results(run.out)) == 1

    told = []
    with monkeypatch.context() as patched:
        patched.setattr(run_cells.CellProgress, "update", lambda _, text: told.append(text))
        assert run(seeds="0,1") == 0
    assert [text for text in told if "training" in text] == ["training 6/6"]
    assert any(re.fullmatch(r"testing 2/2, [\d.]+/s", text) for text in told)
    lines = capsys.readouterr().err.splitlines()
    assert lines[0].endswith("reused)")
    assert lines[1].endswith("resumed from iter_5.pth)")
    assert run(seeds="1", out=tmp_path / "whole") == 0
    (whole,) = results(tmp_path / "whole").values()
    (resumed,) = (r for r in results(run.out).values() if r["seed"] == 1)
    assert resumed["metrics"] == whole["metrics"]


def test_missing_data__is_named_before_anything_runs(run, monkeypatch, capsys, tmp_path):
    forbid(monkeypatch)
    nowhere = "test_dataloader.dataset.data_root=nowhere"
    assert run(registers="none,test_time", options=[nowhere]) == 2
    error = capsys.readouterr().err
    assert "nothing was run, because data is missing:\n  tiny: test_dataloader: ADE20" in error
    assert error.count("nowhere (data_root") == 1
    assert not run.out.exists()


def test_failed_cell__is_named_and_the_others_run(run, monkeypatch, capsys):
    real = cells._test

    def out_of_memory(cell, *args):
        if cell.seed == 0:
            raise RuntimeError("CUDA out\nof memory")
        return real(cell, *args)

    monkeypatch.setattr(cells, "_test", out_of_memory)
    # The list that ships for this model names block 6; the model of the config has two.
    assert run(registers="none,test_time,trained", seeds="0,1") == 1
    captured = capsys.readouterr()
    lines = captured.err.splitlines()
    assert lines[0].startswith("[1/4] tiny, none, seed 0: FAILED: RuntimeError: CUDA out of memory")
    assert lines[1].startswith("[2/4] tiny, none, seed 1: mIoU ")
    assert lines[2].startswith("[3/4] tiny, test_time, seed 0: FAILED: ")
    assert "0..1" in lines[2], "the message of the input error, without a traceback"
    (details,) = run.out.rglob("error.txt")
    assert "in out_of_memory" in details.read_text()
    assert "\ntiny, none, seed 0: FAILED: RuntimeError" in captured.out
    assert "\ntiny, test_time, seed 0; tiny, test_time, seed 1: FAILED: " in captured.out
    assert "tiny, trained is left out: no backbone with trained registers" in captured.out
    with (run.out / "cells.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [bool(row["failed"]) for row in rows] == [True, False, True, True]
    assert [bool(row["value"]) for row in rows] == [False, True, False, False]


def test_protocol__with_tta_is_tested_with_it(run, config, tmp_path, capsys):
    path = tmp_path / "flipped.py"
    path.write_text(config.read_text() + 'protocol = dict(title="head +ms", tta=True)')
    assert run(path=path) == 0
    assert "head +ms (mIoU" in capsys.readouterr().out
    ((folder, result),) = results(run.out).items()
    (checkpoint,) = run.out.rglob(f"{folder}/{result['checkpoint']}")
    tested = tmp_path / "tested"
    assert main(["test", str(path), str(checkpoint), "--work-dir", str(tested), "--tta"]) == 0
    (scores,) = tested.glob("*/2*.json")
    assert result["tta"]
    assert json.loads(scores.read_text())["mIoU"] == result["value"]


def test_result_that_cannot_be_read__is_named(run, capsys):
    assert run() == 0
    (path,) = run.out.rglob("result.json")
    path.write_text("{}")
    assert run() == 1
    assert f"{path} is no result of ttrb compare (KeyError('fingerprint')): delete it" in (
        capsys.readouterr().err
    )


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ["--seeds", "0,x"],
            "--seeds 0,x: expected whole numbers of 0 or more separated by commas",
        ),
        (["--repairs", "none,test-time"], "unknown repair 'test-time'. Did you mean 'test_time'"),
        (["--repairs", "trained"], "nothing to compare: tiny, trained is left out"),
        (["--data-root", "KITTI=/x"], "KITTI=/x: unknown data set type or config 'KITTI'"),
    ],
)
def test_input__that_is_wrong(config, capsys, arguments, message):
    assert main(["compare", str(config), *arguments]) == 2
    assert message in capsys.readouterr().err


def test_controls__are_fitted_after_everything_else_was_checked(
    config, shared, capsys, monkeypatch, tmp_path
):
    monkeypatch.setattr(compare, "fit_controls", lambda *_: pytest.fail("fitted too early"))
    artifact, file = tmp_path / "s.safetensors", tmp_path / "file"
    Artifact("sinder", "vit_small_patch16_224", {"0.value": torch.zeros(192)}).save(artifact)
    file.touch()
    command = ["compare", str(config), "--repairs", f"none,{artifact}:random"]
    command += ["--fit-images", str(shared / "data" / "photos")]
    nowhere = "test_dataloader.dataset.data_root=nowhere"
    for arguments, message in (
        (["--cfg-options", "KITI:a=1"], "unknown data set type or config 'KITI'"),
        (["--cfg-options", nowhere], "nothing was run, because data is missing"),
        (["--out", str(file)], f"{file} cannot be a folder for results"),
        ([], f"{artifact} belongs to 'vit_small_patch16_224', which none of these configs has"),
    ):
        assert main([*command, *arguments]) == 2
        assert message in capsys.readouterr().err


def test_progress__moves_on_a_terminal_and_the_result_stays(monkeypatch, capsys):
    monkeypatch.setattr("sys.stderr.isatty", lambda: True, raising=False)
    monkeypatch.setenv("TERM", "xterm")
    progress = run_cells.CellProgress(12)
    progress.start("a")
    progress.update("training 1/9")  # too soon to be worth a look
    progress.end("done")
    progress.start("b")
    progress.end("reused")
    written = capsys.readouterr().err
    assert written.startswith("\x1b[?25l[ 1/12] a: ")
    assert "training" not in written
    assert written.endswith("\x1b[2K[ 2/12] b: reused\n")
    assert "\x1b[2K[ 1/12] a: done\n" in written
