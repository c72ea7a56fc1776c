"""A real torchrun job of two processes: one dies, that is told, the same command goes on."""

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from ttr_backbones.cli import main

pytestmark = pytest.mark.nightly

TOOLS = Path(__file__).resolve().parents[2] / "tools"
BIN = Path(sys.executable).parent

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
