"""Running as one process of several."""

from __future__ import annotations

import argparse
import os

from mmengine.device import get_device

from ttr_backbones.errors import InputError


def prepare_launcher(args: argparse.Namespace) -> None:
    """Check that the launcher's environment is there, and pass on the local rank."""
    if args.launcher == "none":
        return
    if get_device() == "cpu":
        raise InputError(
            f"--launcher {args.launcher} needs a GPU for each process, and torch sees none. Leave "
            "--launcher out to run one process on the CPU."
        )
    needed = {"pytorch": "RANK", "slurm": "SLURM_PROCID", "mpi": "OMPI_COMM_WORLD_RANK"}
    variable = needed[args.launcher]
    if variable not in os.environ:
        raise InputError(
            f"--launcher {args.launcher} expects the environment variable {variable}, which the "
            "launcher sets. Start with tools/dist_train.sh CONFIG GPUS (torchrun), srun or mpirun."
        )
    os.environ.setdefault("LOCAL_RANK", str(args.local_rank))
