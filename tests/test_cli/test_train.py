"""Train, kill -9, resume: the same weights as without the kill; and what the files hold."""

import json
import os
import signal
import sys
from functools import partial
from pathlib import Path

import pytest
import torch

from ttr_backbones.cli import main
from ttr_backbones.engine import StopOnNaN


def killed_run(where, arguments):
    """Train, and die as by kill -9 in the iteration or amid the writing of a file so named."""
    die = partial(os.kill, os.getpid(), signal.SIGKILL)
    if where == "iteration_6":
        check = StopOnNaN.after_train_iter

        def after_train_iter(self, runner, *args, **kwargs):
            check(self, runner, *args, **kwargs)
            if runner.iter + 1 == 6:
                die()

        StopOnNaN.after_train_iter = after_train_iter
    else:

        def fsync(fd):
            if where in str(Path(f"/proc/self/fd/{fd}").readlink()):
                os.truncate(fd, 1000)
                die()

        os.fsync = fsync
    main(arguments)


def train(config, work_dir, *options):
    assert main(["train", str(config), "--work-dir", str(work_dir), *options]) == 0


def load(path):
    return torch.load(path, weights_only=True)


def assert_same_weights(path, other):
    weights, others = load(path)["state_dict"], load(other)["state_dict"]
    assert weights.keys() == others.keys()
    for name in weights:
        assert torch.equal(weights[name], others[name]), name


@pytest.fixture(scope="module")
def runs(config, tmp_path_factory, start_forked):
    """Work dirs: one run in one piece, and two killed ones, started side by side."""
    folder = tmp_path_factory.mktemp("runs")
    workers = ["--cfg-options", "train_dataloader.num_workers=1"]
    places = {
        "iteration_6": (folder / "iteration_6", workers),
        "iter_8.pth": (folder / "writing", []),
    }
    killed = [
        start_forked(killed_run, where, ["train", str(config), "--work-dir", str(work_dir), *more])
        for where, (work_dir, more) in places.items()
    ]
    train(config, folder / "whole")
    for process in killed:
        process.join(120)
        assert process.exitcode == -signal.SIGKILL
    return folder


def test_killed_in_an_iteration__resumes_with_a_worker_to_the_same_weights(runs, config, capsys):
    work_dir = runs / "iteration_6"
    assert [path.name for path in work_dir.glob("iter_*.pth")] == ["iter_4.pth"]
    train(config, work_dir, "--resume", "--cfg-options", "train_dataloader.num_workers=1")
    assert f"resuming from {work_dir / 'iter_4.pth'}" in capsys.readouterr().err
    assert_same_weights(work_dir / "iter_12.pth", runs / "whole" / "iter_12.pth")


def test_killed_while_writing__resumes_from_the_complete_one(runs, config):
    work_dir = runs / "writing"
    assert len(list(work_dir.glob(".iter_8.pth.*.partial"))) == 1
    (work_dir / "last_checkpoint").write_text("")  # as a full disk leaves it
    train(config, work_dir, "--resume", "auto")
    assert not list(work_dir.glob(".*.partial"))
    assert_same_weights(work_dir / "iter_12.pth", runs / "whole" / "iter_12.pth")


def test_checkpoint__holds_the_head_only_and_is_small(runs):
    path = runs / "whole" / "iter_12.pth"
    names = set(load(path)["state_dict"])
    assert {name.partition(".")[0] for name in names} == {"decode_head"}
    assert {"decode_head.bn.weight", "decode_head.conv_seg.weight"} < names
    assert path.stat().st_size < 200_000


def test_old_checkpoints__go_and_best_and_pointer_stay(runs):
    work_dir = runs / "whole"
    kept = sorted(path.name for path in work_dir.glob("iter_*.pth"))
    assert kept == ["iter_12.pth", "iter_8.pth"]
    (best,) = work_dir.glob("best_mIoU_iter_*.pth")
    assert "optimizer" not in load(best)
    assert (work_dir / "last_checkpoint").read_text() == str(work_dir / "iter_12.pth")


def test_resume__repeats_a_validation_that_may_not_have_finished(runs):
    scalars = max((runs / "writing").glob("*/vis_data/scalars.json"))
    first = json.loads(scalars.read_text().splitlines()[0])
    assert "mIoU" in first
    assert first["step"] == 4


def test_resume__continues_the_logged_history(runs):
    scalars = load(runs / "writing" / "iter_12.pth")["message_hub"]["log_scalars"]
    whole = load(runs / "whole" / "iter_12.pth")["message_hub"]["log_scalars"]
    assert torch.equal(scalars["train/loss"]["values"], whole["train/loss"]["values"])
    assert len(whole["train/loss"]["values"]) == 12


def test_resume__without_a_checkpoint_starts_anew_and_says_so(runs, config, tmp_path, capsys):
    options = ["train_cfg.max_iters=1", "val_cfg=None", "val_dataloader=None", "val_evaluator=None"]
    tensorboard = "visualizer.vis_backends.0.type=TensorboardVisBackend"
    train(config, tmp_path / "new", "--resume", "--cfg-options", *options, tensorboard)
    assert "no checkpoint to resume" in capsys.readouterr().err
    assert list((tmp_path / "new").glob("*/vis_data/events.out.tfevents.*"))


def test_foreign_config__gets_safe_checkpoints(config, tmp_path, capsys):
    options = ["custom_hooks=[]", "default_hooks.checkpoint.type=CheckpointHook"]
    train(config, tmp_path, "--cfg-options", *options, "train_cfg.max_iters=4")
    assert "HeadCheckpointHook in place of CheckpointHook" in capsys.readouterr().err
    assert load(tmp_path / "iter_4.pth")["message_hub"]["log_scalars"]


def test_diverging_run__stops_with_advice(config, tmp_path, capsys):
    options = ["--cfg-options", "optim_wrapper.optimizer.lr=1e30"]
    assert main(["train", str(config), "--work-dir", str(tmp_path), *options]) == 2
    error = capsys.readouterr().err
    assert "ttrb: error: the loss is " in error
    assert "Lower optim_wrapper.optimizer.lr" in error
    assert not list(tmp_path.glob("*.pth"))


def test_seed__is_the_run_s(runs, config, tmp_path):
    train(
        config, tmp_path, "--seed", "7", "--cfg-options", "randomness=None", "train_cfg.max_iters=1"
    )
    checkpoint = load(tmp_path / "iter_1.pth")
    assert checkpoint["meta"]["seed"] == checkpoint["message_hub"]["runtime_info"]["sampler_seed"]
    assert checkpoint["meta"]["seed"] == 7


def test_logs_to_a_package_that_is_absent__are_an_error(config, tmp_path, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "wandb", None)
    wandb = ["--cfg-options", "visualizer.vis_backends.0.type=WandbVisBackend"]
    assert main(["train", str(config), "--work-dir", str(tmp_path), *wandb]) == 2
    assert "WandbVisBackend needs wandb, which is not installed: pip" in capsys.readouterr().err


def test_missing_data__is_found_before_anything_is_built(config, tmp_path, capsys):
    options = ["--data-root", str(tmp_path / "absent"), "--work-dir", str(tmp_path / "work")]
    assert main(["train", str(config), *options]) == 2
    assert f"ADE20KDataset expects a folder at {tmp_path / 'absent'}" in capsys.readouterr().err
    assert not (tmp_path / "work").exists()


def test_log__names_the_metric(runs):
    (scalars,) = (runs / "whole").glob("*/vis_data/scalars.json")
    lines = [json.loads(line) for line in scalars.read_text().splitlines()]
    assert {"mIoU", "loss"} <= set().union(*lines)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda folder: "missing.pth", "it does not exist"),
        (str, "holds no complete checkpoint"),
    ],
)
def test_resume__from_nothing_is_an_error(config, tmp_path, capsys, make, message):
    arguments = ["train", str(config), "--work-dir", str(tmp_path), "--resume", make(tmp_path)]
    assert main(arguments) == 2
    assert message in capsys.readouterr().err


def test_resume__from_weights_only_is_an_error(runs, config, tmp_path, capsys):
    (best,) = (runs / "whole").glob("best_*.pth")
    assert main(["train", str(config), "--work-dir", str(tmp_path), "--resume", str(best)]) == 2
    error = capsys.readouterr().err
    assert "cannot be resumed: it lacks optimizer" in error
    assert "load_from=FILE" in error


def test_amp__on_a_cpu_is_an_error(config, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("ttr_backbones.app.runner.get_device", lambda: "cpu")
    assert main(["train", str(config), "--work-dir", str(tmp_path), "--amp"]) == 2
    assert "--amp needs a GPU, and this process runs on cpu" in capsys.readouterr().err


def test_unknown_type__suggests_the_nearest(config, tmp_path, capsys):
    options = ["--cfg-options", "model.backbone.type=TimVit"]
    assert main(["train", str(config), "--work-dir", str(tmp_path), *options]) == 2
    assert "type='TimVit'" in (error := capsys.readouterr().err)
    assert "Did you mean 'TimmViT'" in error


def test_unknown_argument__suggests_the_nearest(config, tmp_path, capsys):
    options = ["--cfg-options", "model.backbone.repairs.num=1"]
    assert main(["train", str(config), "--work-dir", str(tmp_path), *options]) == 2
    error = capsys.readouterr().err
    assert "the config gives TimmViT an argument it does not have" in error
    assert "unknown argument 'repairs'. Did you mean 'repair'" in error


def test_error_in_a_worker__shows_the_original_message_only(config, tmp_path, capsys):
    options = ["--cfg-options", "train_dataloader.num_workers=1"]
    options.append("train_dataloader.dataset.pipeline.2.num_classes=2")
    assert main(["train", str(config), "--work-dir", str(tmp_path), *options]) == 2
    error = capsys.readouterr().err
    assert "ttrb: error: the mask " in error
    assert "expected 1..2, and 0 and 255 for pixels to ignore" in error
    assert "Traceback" not in error
