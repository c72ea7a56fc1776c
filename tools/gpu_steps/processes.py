"""A training by two processes that share a device through gloo, and by one through NCCL."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import socket
import sys
from collections.abc import Sequence
from pathlib import Path

import torch
from soaking.training import warm_up
from soaking.work import make_work

from gpu_steps.resume import make_deterministic, tiny_weights
from gpu_steps.step import Check
from ttr_backbones.cli import main

_ITERATIONS = 10


def run(check: Check) -> None:
    """Train in all three ways and compare the heads; no process but the last uses CUDA here."""
    warm_up()
    make_deterministic()
    folder = check.folder / "data"
    folder.mkdir()
    work = make_work(folder, tiny_weights(check), check.scale.trained_size)
    alone = _train(check, work.config, "alone", world_size=1, batch=4)
    together = _train(check, work.config, "gloo", world_size=2, batch=2)
    difference = _difference(alone, together)
    what = "two processes on one device, gloo: relative difference of the head to one process"
    check.record(what, difference, f"{difference:.1e}", goal="difference")
    if check.device.type == "cuda":
        nccl = _train(check, work.config, "nccl", world_size=1, batch=4)
        difference = _difference(alone, nccl)
        check.record("NCCL with one rank: the same", difference, f"{difference:.1e}", goal="nccl")


def _train(check: Check, config: Path, name: str, *, world_size: int, batch: int) -> Path:
    """Train; return the last checkpoint."""
    work_dir = check.folder / name
    options = [
        f"train_cfg.max_iters={_ITERATIONS}",
        f"train_cfg.val_interval={_ITERATIONS}",
        "default_hooks.checkpoint.interval=5",
        f"train_dataloader.batch_size={batch}",
        "model.backbone.precision=fp32",
        "model.decode_head.dropout_ratio=0",  # each process draws its own
    ]
    launcher = []
    if name != "alone":
        options.append(f"env_cfg.dist_cfg.backend={name}")
        launcher = ["--launcher", "pytorch"]
    arguments = ["train", str(config), "--work-dir", str(work_dir), *launcher]
    arguments += ["--cfg-options", *options]
    port, log = _free_port(), check.folder / f"{name}.txt"
    fork = multiprocessing.get_context("fork")
    sys.stdout.flush()
    started = []
    for rank in range(world_size):
        names = _names(rank, world_size, port) if launcher else {}
        process = fork.Process(target=_run_one, args=(arguments, names, log))
        process.start()
        started.append(process)
    for process in started:
        process.join()
    codes = [process.exitcode for process in started]
    if any(codes):
        print(log.read_text(errors="replace"))
        last = [line for line in log.read_text(errors="replace").splitlines() if line.strip()]
        raise RuntimeError(f"{name}: processes ended with {codes}: {last[-1] if last else ''}")
    return work_dir / f"iter_{_ITERATIONS}.pth"


def _run_one(arguments: Sequence[str], names: dict[str, str], log: Path) -> None:
    os.environ.update(names)
    with log.open("a", buffering=1) as output, contextlib.ExitStack() as stack:
        stack.enter_context(contextlib.redirect_stdout(output))
        stack.enter_context(contextlib.redirect_stderr(output))
        code = main(list(arguments))
    sys.exit(code)


def _names(rank: int, world_size: int, port: int) -> dict[str, str]:
    """What a launcher tells; all processes have the first GPU."""
    return {
        "RANK": str(rank),
        "WORLD_SIZE": str(world_size),
        "LOCAL_RANK": "0",
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(port),
        "GLOO_SOCKET_IFNAME": "lo",
    }


def _free_port() -> int:
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        return int(listening.getsockname()[1])


def _difference(left: Path, other: Path) -> float:
    """Largest difference of the tensors of two heads, over the largest value of each."""
    first, second = (torch.load(file, weights_only=True)["state_dict"] for file in (left, other))
    if first.keys() != second.keys():
        raise RuntimeError(f"{left} and {other} hold different tensors")
    return max(
        ((first[name] - second[name]).abs().max() / first[name].abs().max().clamp(min=1e-12)).item()
        for name in first
        if first[name].is_floating_point()
    )
