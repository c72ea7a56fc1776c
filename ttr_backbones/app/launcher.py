"""Running as one process of several: which one this is, joining the others, leaving them.

torch is imported only if there are others.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import subprocess
from datetime import timedelta
from typing import Any, NamedTuple

from ttr_backbones.errors import InputError, unknown_name

# Where each launcher tells the rank, the number of processes and the rank on this machine.
_VARIABLES = {
    "pytorch": ("RANK", "WORLD_SIZE", "LOCAL_RANK"),
    "slurm": ("SLURM_PROCID", "SLURM_NTASKS", "SLURM_LOCALID"),
    "mpi": ("OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_SIZE", "OMPI_COMM_WORLD_LOCAL_RANK"),
}
_OPTIONS = ("backend", "timeout", "port")
_DEFAULT_PORT = "29500"

at_success = contextlib.ExitStack()
"""What `ttrb` does after a command that did not fail: leave the other processes, if it joined."""


class Process(NamedTuple):
    """Which process of a job this is; alone it is process 0 of 1."""

    rank: int
    world_size: int
    local_rank: int


def this_process() -> Process:
    """Read RANK, WORLD_SIZE and LOCAL_RANK of the environment, as torchrun sets them."""
    defaults = {"RANK": 0, "WORLD_SIZE": 1, "LOCAL_RANK": 0}
    try:
        process = Process(*(int(os.environ.get(n, d)) for n, d in defaults.items()))
    except ValueError:
        process = Process(-1, 0, 0)
    if not 0 <= process.rank < process.world_size:
        values = ", ".join(f"{name}={os.environ.get(name)!r}" for name in defaults)
        raise InputError(
            f"the environment has {values}: expected 0 <= RANK < WORLD_SIZE, or neither"
        )
    return process


def is_first() -> bool:
    """Whether this is process 0, which prints and writes for all."""
    return os.environ.get("RANK", "0") == "0"


def add_launcher(parser: argparse.ArgumentParser) -> None:
    """Add mmseg's `--launcher`."""
    parser.add_argument(
        "--launcher",
        choices=["none", *_VARIABLES],
        default="none",
        help="who started the processes of this job (pytorch: torchrun)",
    )
    # torch's launchers spell it either way.
    parser.add_argument("--local_rank", "--local-rank", type=int, default=0, help=argparse.SUPPRESS)


def join_processes(args: argparse.Namespace, cfg: Any = None) -> None:
    """Join the other processes that the launcher started, until the command ends.

    GPUs talk through nccl, one process each; CPUs through gloo.

    Args:
        args: with `launcher` and `local_rank`, and `device` if the command has it.
        cfg: the config; its `env_cfg.dist_cfg` may set backend, timeout (in seconds) and port.

    Raises:
        InputError: the launcher's environment, the GPU of this process or the others are missing.
    """
    if args.launcher == "none":
        _refuse_to_repeat_work()
        return
    from torch import cuda, distributed

    if distributed.is_initialized():  # by who called `main`
        return
    take_names(args.launcher, args.local_rank)
    process = this_process()
    options = dict((cfg or {}).get("env_cfg", {}).get("dist_cfg", {}))
    for name in options:
        if name not in _OPTIONS:
            raise InputError(unknown_name("key of env_cfg.dist_cfg", name, _OPTIONS))
    backend = options.get("backend", "nccl")
    if not _uses_gpu(args, cfg):
        backend = "gloo"
    elif process.local_rank < cuda.device_count():
        cuda.set_device(process.local_rank)
    else:
        raise InputError(
            f"process {process.rank} is number {process.local_rank} on this machine (counted from "
            f"0), and torch sees {cuda.device_count()} GPUs here: start one process per GPU"
        )
    _find_the_first(args.launcher, options.get("port"))
    timeout = options.get("timeout")
    try:
        distributed.init_process_group(
            backend, timeout=None if timeout is None else timedelta(seconds=timeout)
        )
    except (RuntimeError, ValueError) as error:
        address, port = os.environ.get("MASTER_ADDR"), os.environ.get("MASTER_PORT")
        raise InputError(
            f"process {process.rank} of {process.world_size} could not join the others at "
            f"MASTER_ADDR={address}, MASTER_PORT={port}: {error}. Another job may hold the port "
            "(set another one), or a process did not start."
        ) from error
    at_success.callback(_leave)


def check_resume(cfg: Any) -> None:
    """Raise InputError where processes would go on from different checkpoints, in all of them."""
    from mmengine.dist import all_gather_object

    first, *others = all_gather_object(cfg.get("load_from") if cfg.get("resume") else None)
    for rank, other in enumerate(others, start=1):
        if other != first:
            raise InputError(
                f"process 0 would resume from {first or 'no checkpoint'}, process {rank} from "
                f"{other or 'no checkpoint'}: put the work dir on a disk that all machines share"
            )


def _leave() -> None:
    from torch import distributed

    # A process that ends while another still talks to it would break that one.
    distributed.barrier()
    distributed.destroy_process_group()


def _refuse_to_repeat_work() -> None:
    if "TORCHELASTIC_RUN_ID" in os.environ and this_process().world_size > 1:
        raise InputError(
            f"torchrun started {this_process().world_size} processes, and without --launcher each "
            "would do all of the work and write the same files: add --launcher pytorch"
        )


def take_names(launcher: str, local_rank: int) -> None:
    """Give the launcher's variables the names that torch reads.

    Raises:
        InputError: they are not there.
    """
    if launcher == "none":
        return
    names = dict(zip(_VARIABLES["pytorch"], _VARIABLES[launcher], strict=True))
    if launcher == "pytorch":
        os.environ.setdefault("LOCAL_RANK", str(local_rank))
    for name, theirs in names.items():
        if theirs not in os.environ:
            raise InputError(
                f"--launcher {launcher} expects the environment variable {theirs}, which the "
                "launcher sets. Start with tools/dist_train.sh CONFIG GPUS (torchrun), "
                "tools/slurm_train.sh (srun) or mpirun."
            )
        os.environ[name] = os.environ[theirs]


def _uses_gpu(args: argparse.Namespace, cfg: Any) -> bool:
    from torch import cuda

    device = getattr(args, "device", None) or ("cuda" if cuda.is_available() else "cpu")
    if cfg is not None:
        from mmengine.device import get_device

        device = get_device()
    if device not in {"cuda", "cpu"}:
        raise InputError(
            f"--launcher {args.launcher} works with the device cuda, where each process takes the "
            f"GPU of its rank on its machine, and with cpu; this run has {device}"
        )
    return bool(device == "cuda")


def _find_the_first(launcher: str, port: int | None) -> None:
    """Say where process 0 listens, if the launcher has not."""
    if port is not None:
        os.environ["MASTER_PORT"] = str(port)
    os.environ.setdefault("MASTER_PORT", _DEFAULT_PORT)
    if launcher == "slurm" and "MASTER_ADDR" not in os.environ:
        hosts = ["scontrol", "show", "hostnames", os.environ.get("SLURM_NODELIST", "")]
        with contextlib.suppress(OSError):
            listed = subprocess.run(hosts, capture_output=True, text=True, check=False).stdout
            os.environ["MASTER_ADDR"] = (listed.split() or [""])[0]
    if not os.environ.get("MASTER_ADDR"):
        raise InputError(
            f"--launcher {launcher}: MASTER_ADDR is not set: expected the host of process 0 in "
            "this environment variable, the same for all processes"
        )
