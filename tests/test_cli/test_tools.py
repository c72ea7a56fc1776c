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


@pytest.mark.parametrize(
    ("script", "arguments", "handed_on"),
    [
        ("dist_train.sh", ["a.py", "8", "--amp"], "train.py a.py --launcher pytorch --amp"),
        (
            "dist_test.sh",
            ["a.py", "b.pth", "8", "--tta"],
            "test.py a.py b.pth --launcher pytorch --tta",
        ),
    ],
)
def test_dist_script__starts_torchrun(tmp_path, script, arguments, handed_on):
    (tmp_path / "torchrun").write_text('#!/bin/sh\necho "$@"\n')
    (tmp_path / "torchrun").chmod(0o755)
    environment = os.environ | {
        "PATH": f"{tmp_path}:{os.environ['PATH']}",
        "NNODES": "2",
        "NODE_RANK": "1",
        "PORT": "1234",
    }
    shown = subprocess.run(
        [str(TOOLS / script), *arguments],
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    ).stdout.strip()
    assert "--nnodes=2 --node_rank=1 --master_addr=127.0.0.1 --master_port=1234" in shown
    assert "--nproc_per_node=8" in shown
    assert shown.endswith(handed_on)


@pytest.mark.parametrize("script", ["dist_train.sh", "dist_test.sh"])
def test_dist_script__without_arguments_says_how(script):
    shown = subprocess.run([str(TOOLS / script)], capture_output=True, text=True, check=False)
    assert shown.returncode == 2
    assert "usage:" in shown.stderr
