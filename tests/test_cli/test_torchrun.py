"""Real torchrun jobs of two processes: one dies, the reason is told, the same command goes on."""

import os
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from ttr_backbones import Features
from ttr_backbones.cli import main

pytestmark = pytest.mark.slow

TOOLS = Path(__file__).resolve().parents[2] / "tools"
BIN = Path(sys.executable).parent
MODEL = "vit_tiny_patch16_224"

# Process 1 ends as `kill -9` ends it.
KILLER = """
import os, signal
from mmengine.dist import get_rank
from mmengine.hooks import Hook
from mmengine.registry import HOOKS

@HOOKS.register_module()
class KillProcess1(Hook):
    def after_train_iter(self, runner, *args, **kwargs):
        if runner.iter + 1 == 6 and get_rank() == 1:
            os.kill(os.getpid(), signal.SIGKILL)
"""


def run(*command, cwd, **environment):
    """Run a command of this installation, which must end soon; give exit code and output."""
    names = {"OMP_NUM_THREADS": "1", "PATH": f"{BIN}:{os.environ['PATH']}", **environment}
    job = subprocess.Popen(
        [str(part) for part in command],
        cwd=cwd,
        env=os.environ | names,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    try:
        output = job.communicate(timeout=180)[0]  # not gloo's half an hour
    finally:
        job.terminate()  # torchrun ends its processes
    return job.returncode, output


def torchrun(*arguments, cwd):
    """Run `ttrb` in two processes, as --help says."""
    return run(
        *("torchrun", "--standalone", "--nproc-per-node", "2", "--no-python", "ttrb", *arguments),
        cwd=cwd,
    )


def test_killed_process__ends_the_job_and_a_rerun_ends_with_the_same_weights(
    two_processes, config, tmp_path
):
    (tmp_path / "killer.py").write_text(KILLER)
    killing = tmp_path / "killing.py"
    killing.write_text(
        f'_base_ = {str(config)!r}\ncustom_imports = dict(imports=["killer"])\n'
        'custom_hooks = [dict(type="SafeCheckpoint"), dict(type="KillProcess1")]\n'
    )
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        free = {"PORT": str(held.getsockname()[1]), "PYTHONPATH": str(tmp_path)}
    train = TOOLS / "dist_train.sh"
    code, output = run(*(train, killing, "2", "--work-dir", "killed"), cwd=tmp_path, **free)
    assert code != 0
    cause = output.partition("Root Cause (first observed failure):")[2]
    assert "rank      : 1 (local_rank: 1)" in cause
    assert "Signal 9 (SIGKILL) received" in cause
    assert [path.name for path in (tmp_path / "killed").glob("iter_*")] == ["iter_4.pth"]

    arguments = ["train", str(config), "--launcher", "pytorch", "--work-dir"]
    resumed = two_processes(main, [*arguments, str(tmp_path / "killed"), "--resume"])
    assert [outcome.value for outcome in resumed] == [0, 0]
    told = "".join(outcome.err for outcome in resumed)
    assert told.count(f"ttrb: note: resuming from {tmp_path / 'killed/iter_4.pth'}") == 1
    whole = two_processes(main, [*arguments, str(tmp_path / "whole")])
    assert [outcome.value for outcome in whole] == [0, 0]
    weights, others = (
        torch.load(tmp_path / folder / "iter_12.pth", weights_only=True)["state_dict"]
        for folder in ("killed", "whole")
    )
    for name, tensor in weights.items():
        assert torch.equal(tensor, others[name]), name


def test_input_error_of_one_process__is_the_reason_that_torchrun_tells(
    shared, tiny_weights, tmp_path
):
    """The third of four photographs is cut, which the second process finds when it reads it."""
    photos = tmp_path / "photos"
    photos.mkdir()
    for number, file in enumerate(sorted((shared / "data" / "photos").iterdir())[:4]):
        shutil.copy(file, photos / f"{number}{file.suffix}")
    cut = sorted(photos.iterdir())[2]
    cut.write_bytes(cut.read_bytes()[:3000])
    source = [MODEL, "--images", photos, "--checkpoint", tiny_weights, "--batch-size", "2"]
    code, output = torchrun(
        *("find-neurons", *source, "--threshold", "100", "--out", "n.json"),
        *("--launcher", "pytorch"),
        cwd=tmp_path,
    )
    assert code != 0
    reason = "1 of 4 images cannot be used; repair or remove them"
    assert output.count(f"ttrb: error (process 1 of 2): {reason}") == 1
    told, _, cause = output.partition("Root Cause (first observed failure):")
    assert "rank      : 1 (local_rank: 1)" in cause
    assert "exitcode  : 2" in cause
    assert f"traceback : {reason}" in cause
    assert f"{cut.name}: cannot be decoded" in cause
    assert not (tmp_path / "n.json").exists()
    # The other process does not drown the reason in a traceback of its own.
    assert "ttrb: error (process 0 of 2): the exchange with the other processes broke off" in told
    assert "gloo" not in told


def test_features__are_the_same_files(shared, tiny_weights, tmp_path):
    images = shared / "data/VOCdevkit/VOC2007/JPEGImages"
    arguments = [
        *("features", f"{MODEL}.augreg_in21k_ft_in1k", "--images", str(images), "--size", "64"),
        *("--checkpoint", str(tiny_weights), "--repair", "auto", "--shard-size", "5"),
    ]
    shared_out = ["--out", tmp_path / "two", "--launcher", "pytorch"]
    code, output = torchrun(*arguments, *shared_out, cwd=tmp_path)
    assert code == 0, output
    assert output.count("features of 17 images: ") == 1
    assert main([*arguments, "--out", str(tmp_path / "one")]) == 0
    files = [
        {path.name: path.read_bytes() for path in (tmp_path / name).iterdir()}
        for name in ("one", "two")
    ]
    assert len(files[0]) == 1 + 4
    assert files[0] == files[1]
    assert len(Features(tmp_path / "two")) == 17
