"""`ttrb compare` on the real ViT and real data: three tasks in one table, killed and resumed."""

import csv
import json
import os
import signal

import pytest

from ttr_backbones.cli import main
from ttr_backbones.compare import cells
from ttr_backbones.engine import StopOnNaN

pytestmark = pytest.mark.usefixtures("quick_cells")

ADE, NYU, VOC = (
    "augreg_vitt16_linear_ade20k_200it",
    "augreg_vitt16_lin1_nyu_200it",
    "augreg_vitt16_lost_voc07",
)
LAST = 3


@pytest.fixture(scope="module")
def options(tiny_weights):
    """Options that make a cell a matter of seconds."""
    changes = {
        "model.backbone.pretrained": False,
        "model.backbone.checkpoint": tiny_weights,
        "train_dataloader.batch_size": 1,
        "train_cfg.max_iters": LAST,
        "train_cfg.val_begin": LAST + 1,  # the test follows anyway
        "default_hooks.checkpoint.interval": 2,
    }
    for loader in ("train", "val", "test"):
        changes[f"{loader}_dataloader.num_workers"] = 0
        changes[f"{loader}_dataloader.persistent_workers"] = False
    return [f"{key}={value}" for key, value in changes.items()]


@pytest.fixture(scope="module")
def arguments(shared, small_ade20k, options):
    """The command for ten cells, without its `--out`."""
    roots = [
        f"ADE20KDataset={small_ade20k}",
        f"NYUDepthV2={shared}/data/nyu",
        f"*_voc07={shared}/data/VOCdevkit/VOC2007",
    ]
    few = [
        f"{data}:test_dataloader.dataset.indices={images}"
        for data, images in [("ADE20KDataset", 2), ("NYUDepthV2", 1), ("VOCBoxes", 5)]
    ]
    # Crops of a seventh of the pixels, and no mirrored pass.
    crop = "train_dataloader.dataset.pipeline.3.transforms.3"
    own = [f"{crop}.height=160", f"{crop}.width=208", "model.data_preprocessor.size=(160,208)"]
    own += ["model.decode_head.loss_decode.warm_up=2", "model.test_cfg.flip=False"]
    small = [f"NYUDepthV2:{option}" for option in own]
    axes = ["--repairs", "none,test_time", "--seeds", "0,1", "--data-root", *roots]
    return ["compare", ADE, NYU, VOC, *axes, "--cfg-options", *options, *few, *small]


def killed_run(arguments):
    """Run the command, and die as by kill -9 in the iteration after its first checkpoint."""
    check = StopOnNaN.after_train_iter

    def after_train_iter(self, runner, *args, **kwargs):
        check(self, runner, *args, **kwargs)
        if runner.iter + 1 == 3:
            os.kill(os.getpid(), signal.SIGKILL)

    StopOnNaN.after_train_iter = after_train_iter
    main(arguments)


def stored(out, experiment, registers):
    """{seed: result} of a line of the table."""
    files = (out / "runs" / experiment / registers).glob("*/result.json")
    return {result["seed"]: result for result in (json.loads(f.read_text()) for f in files)}


@pytest.mark.nightly
def test_three_tasks_in_one_table__killed_resumed_and_reused(
    arguments, options, small_ade20k, start_forked, tmp_path, capsys, monkeypatch
):
    out = tmp_path / "out"
    process = start_forked(killed_run, [*arguments, "--out", str(out)])
    process.join(120)
    assert process.exitcode == -signal.SIGKILL
    assert main([*arguments, "--out", str(out)]) == 0
    captured = capsys.readouterr()
    lines = captured.err.splitlines()
    assert len(lines) == 10
    assert lines[0].startswith(f"[ 1/10] {ADE}, none, seed 0: mIoU ")
    assert lines[0].endswith("resumed from iter_2.pth)")
    assert not any("resumed" in line or "reused" in line for line in lines[1:])

    # The killed cell has what the two commands give without an interruption.
    ade = ["--data-root", str(small_ade20k), "--cfg-options", *options]
    ade += ["test_dataloader.dataset.indices=2"]
    work = tmp_path / "work"
    assert main(["train", ADE, "--seed", "0", "--work-dir", str(work), *ade]) == 0
    checkpoint = str(work / f"iter_{LAST}.pth")
    assert main(["test", ADE, checkpoint, "--work-dir", str(tmp_path / "test"), *ade]) == 0
    (scores,) = (tmp_path / "test").glob("*/2*.json")
    assert json.loads(scores.read_text())["mIoU"] == stored(out, ADE, "none")[0]["value"]

    with (out / "table.csv").open() as file:
        rows = {(row["experiment"], row["repair"]): row for row in csv.DictReader(file)}
    assert {(row["metric"], row["unit"]) for row in rows.values()} == {
        ("mIoU", "%"),
        ("rmse", "m"),
        ("CorLoc", "%"),
    }
    for name in (ADE, NYU):
        for registers in ("none", "test_time"):
            results = stored(out, name, registers)
            a, b = results[0]["value"], results[1]["value"]
            # All metrics: after three iterations one may be equal to its last digit (mIoU 0.02).
            assert results[0]["metrics"] != results[1]["metrics"]
            assert a != b or name == ADE
            row = rows[name, registers]
            assert float(row["mean"]) == pytest.approx((a + b) / 2)
            assert float(row["std"]) == pytest.approx(abs(a - b) / 2**0.5)
        plain, registered = (stored(out, name, kind)[0] for kind in ("none", "test_time"))
        assert plain["metrics"] != registered["metrics"], "the register changes the features"
    assert stored(out, VOC, "none").keys() == {None}
    assert rows[VOC, "none"]["runs_planned"] == "1"
    assert float(rows[VOC, "none"]["mean"]) % 20 == 0, "a share of five images"
    assert {row["published"] for row in rows.values()} == {""}
    for heading in ("ADE20K in small", "NYUv2: a trial run", "LOST, VOC 2007 trainval"):
        assert heading in captured.out
    assert f"{VOC} trains nothing, so these do not apply to it" in captured.out

    capsys.readouterr()
    monkeypatch.setattr(cells, "_run", lambda *_: pytest.fail("a finished cell was run again"))
    assert main([*arguments, "--out", str(out)]) == 0
    again = capsys.readouterr()
    assert again.out == captured.out
    assert again.err.count("reused)") == 10
