"""A training that is killed and resumed has the weights of one that was not, and can be tested."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path
from typing import Any

import torch
from soaking.judgement import differences
from soaking.training import Training, warm_up
from soaking.work import make_work

from gpu_steps.step import Check
from ttr_backbones.cli import main
from ttr_backbones.engine import latest_checkpoint

ITERATIONS = 50
_KILLED_AT = 27
_INTERVAL = 10


def run(check: Check) -> None:
    """Train undisturbed, train with a kill, compare, test."""
    warm_up()  # nothing here may use CUDA before the last training was forked
    make_deterministic()
    weights = tiny_weights(check)
    work = make_work(_made(check.folder / "data"), weights, check.scale.trained_size)
    check.record("weights", "real ViT-Ti with its register" if weights else "random")
    undisturbed = _train(check, work.config, "undisturbed")
    _end(undisturbed, check)
    disturbed = _train(check, work.config, "disturbed")
    disturbed.run_until(_KILLED_AT)
    disturbed.signal(signal.SIGKILL, group=True)
    disturbed.run_until()
    left = latest_checkpoint(check.folder / "disturbed")
    check.record("killed", disturbed.iteration, f"in iteration {disturbed.iteration + 1}")
    check.record("resumed from", left.name if left else "nothing")
    _end(_train(check, work.config, "disturbed"), check)
    name = f"iter_{ITERATIONS}.pth"
    one, two = (check.folder / folder / name for folder in ("undisturbed", "disturbed"))
    other = list(differences(one, two))
    text = f"{len(other)}: {', '.join(other[:4])}" if other else "none, bit for bit"
    check.record("different after the resume", len(other), text, goal="different")
    trained = _scores(check.folder / "disturbed")
    code = main(["test", str(work.config), str(two), "--work-dir", str(check.folder / "test"),
                 "--cfg-options", *_options(check)])  # fmt: skip
    check.record("exit code of ttrb test", code, goal="exit code")
    tested = _scores(check.folder / "test")
    check.record("mIoU of ttrb test", tested.get("mIoU"))
    check.record("mIoU less that of the training", tested["mIoU"] - trained["mIoU"], goal="mIoU")


def make_deterministic() -> None:
    """Have the same computation give the same bits, where torch can; it warns where it cannot.

    Processes that are forked from this one take it over.
    """
    os.environ["CUBLAS_WORKSPACE_CONFIG"] = ":4096:8"
    torch.backends.cudnn.deterministic = True
    torch.backends.cudnn.benchmark = False
    torch.use_deterministic_algorithms(True, warn_only=True)


def tiny_weights(check: Check) -> Path | None:
    """The real ViT-Ti, where there is one and it is not to be rehearsed only."""
    if check.shared is None or check.device.type != "cuda":
        return None
    file = check.shared / "weights" / "vit_tiny_patch16_224.safetensors"
    return file if file.is_file() else None


def _train(check: Check, config: Path, name: str) -> Training:
    folder = check.folder / name
    options = [
        f"train_cfg.max_iters={ITERATIONS}",
        f"train_cfg.val_interval={ITERATIONS}",
        f"default_hooks.checkpoint.interval={_INTERVAL}",
        *_options(check),
    ]
    log = check.folder / f"{name}.txt"
    arguments = [str(config), "--work-dir", str(folder), "--resume"]
    return Training([*arguments, "--cfg-options", *options], log)


def _options(check: Check) -> list[str]:
    workers = 2 if check.device.type == "cuda" else 0
    return ["model.backbone.precision=bf16", f"train_dataloader.num_workers={workers}"]


def _end(training: Training, check: Check) -> None:
    training.run_until()
    if training.exit_code:
        print(training.said)
        raise RuntimeError(
            f"a training on {check.device} ended with {training.exit_code} after iteration "
            f"{training.iteration}: {training.last_words}"
        )


def _scores(work_dir: Path) -> dict[str, Any]:
    """The last metrics that a run has logged."""
    found: dict[str, Any] = {}
    for file in sorted(work_dir.rglob("*.json")):
        for line in file.read_text(encoding="utf-8").splitlines():
            scores = json.loads(line)
            found = scores if "mIoU" in scores else found
    return found


def _made(folder: Path) -> Path:
    folder.mkdir(parents=True)
    return folder
