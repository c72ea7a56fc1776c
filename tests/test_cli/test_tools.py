"""tools/*.py and tools/*.sh are thin: they hand everything on."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

TOOLS = Path(__file__).resolve().parents[2] / "tools"


@pytest.mark.parametrize("name", ["train", "test"])
def test_tool__is_the_command(name):
    shown = subprocess.run(
        [sys.executable, str(TOOLS / f"{name}.py"), "--help"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    assert shown.startswith(f"usage: ttrb {name}")


def started(folder, starter, script, arguments, **environment):
    """What a script hands to torchrun or srun, which a stand-in prints."""
    (folder / starter).write_text('#!/bin/sh\necho "$@"\n')
    (folder / starter).chmod(0o755)
    path = f"{folder}:{os.environ['PATH']}"
    return subprocess.run(
        [str(TOOLS / script), *arguments],
        env=os.environ | {"PATH": path} | environment,
        capture_output=True,
        text=True,
        check=True,
    ).stdout.strip()


@pytest.mark.parametrize(
    ("script", "arguments", "handed_on"),
    [
        ("dist_train.sh", ["a.py", "8", "--amp"], "train.py a.py --launcher pytorch --amp"),
        (
            "dist_test.sh",
            ["a.py", "b.pth", "8", "--tta"],
            "test.py a.py b.pth --launcher pytorch --tta",
        ),
        ("dist_test.sh", ["a.py", "8", "--out", "b"], "test.py a.py --launcher pytorch --out b"),
    ],
)
def test_dist_script__starts_torchrun(tmp_path, script, arguments, handed_on):
    environment = {"NNODES": "2", "NODE_RANK": "1", "PORT": "1234"}
    shown = started(tmp_path, "torchrun", script, arguments, **environment)
    assert "--nnodes=2 --node_rank=1 --master_addr=127.0.0.1 --master_port=1234" in shown
    assert "--nproc_per_node=8" in shown
    assert shown.endswith(handed_on)


@pytest.mark.parametrize(
    ("script", "arguments", "handed_on"),
    [
        ("slurm_train.sh", ["a.py", "--amp"], "ttrb train a.py --amp --launcher slurm"),
        ("slurm_test.sh", ["a.py", "b.pth"], "ttrb test a.py b.pth --launcher slurm"),
        ("slurm_test.sh", ["a.py"], "ttrb test a.py --launcher slurm"),
    ],
)
def test_slurm_script__starts_srun(tmp_path, script, arguments, handed_on):
    arguments = ["gpus", "probe", *arguments]
    environment = {"GPUS": "16", "GPUS_PER_NODE": "8", "SRUN_ARGS": "--qos=high --mem=64G"}
    shown = started(tmp_path, "srun", script, arguments, **environment)
    assert shown.startswith("--partition=gpus --job-name=probe --gres=gpu:8 --ntasks=16 ")
    assert (
        "--ntasks-per-node=8 --cpus-per-task=5 --kill-on-bad-exit=1 --qos=high --mem=64G" in shown
    )
    assert shown.endswith(handed_on)
    shown = started(tmp_path, "srun", script, arguments, GPUS="2", GRES="", CPUS_PER_TASK="1")
    assert shown.startswith("--partition=gpus --job-name=probe --ntasks=2 --ntasks-per-node=2 ")


@pytest.mark.parametrize(
    ("script", "arguments"),
    [
        ("dist_train.sh", []),
        ("dist_test.sh", ["a.py"]),
        ("dist_test.sh", ["a.py", "b.pth", "--tta"]),
        ("slurm_train.sh", ["gpus", "probe"]),
        ("slurm_test.sh", []),
    ],
)
def test_script__with_too_few_arguments_says_how(script, arguments):
    command = [str(TOOLS / script), *arguments]
    shown = subprocess.run(command, capture_output=True, text=True, check=False)
    assert shown.returncode == 2
    assert "usage:" in shown.stderr
