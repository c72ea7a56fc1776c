"""Train while everything goes wrong, and check that nothing is lost and every fault is named.

python tools/soak.py [--cycles N | --minutes M]
"""

from __future__ import annotations

import argparse
import contextlib
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

# The package need not be installed, and what the run consists of belongs to its tests.
_ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(_ROOT / "tests"), str(_ROOT)]

from ttr_backbones.app import failure  # noqa: E402
from ttr_backbones.cli.parser import Parser  # noqa: E402
from ttr_backbones.errors import InputError, MissingFileError  # noqa: E402

if TYPE_CHECKING:
    from soaking.run import SoakRow

_FORMAT = "{:>5}  {:<24}  {:<14}  {:<4}  {}"
_HEAD = _FORMAT.format("cycle", "fault", "resumed from", "", "what the run said")
_WIDTH = 90


def main(argv: Sequence[str] | None = None) -> int:
    """Run with `argv` (default: the process's own arguments); return the exit code."""
    try:
        return run(_parser().parse_args(sys.argv[1:] if argv is None else argv))
    except InputError as error:
        failure.print_error(str(error))
        return 2
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 130


def _parser() -> Parser:
    parser = Parser(prog="soak.py")
    parser.description = (
        "Trains a small head on a small data set of its own. In each cycle the training is killed, "
        "stopped by a signal, finds corrupt files, a full or a read-only disk, at a random moment; "
        "the next cycle resumes it. At the end the weights have to equal, bit for bit, those of a "
        "run without faults. The exit code is 1 if anything was lost or not named. Linux only."
    )
    parser.add_argument("--cycles", type=int, metavar="N", help="number of faults (each kind once)")
    parser.add_argument("--minutes", type=float, metavar="M", help="begin no cycle after M minutes")
    parser.add_argument("--seed", type=int, default=0, help="draws the faults (0)")
    parser.add_argument(
        "--weights", type=Path, metavar="FILE",
        help="of augreg ViT-Ti/16, which then trains with its test-time register (default: a small "
        "random ViT)",
    )  # fmt: skip
    parser.add_argument(
        "--keep", type=Path, metavar="DIR", help="keep data, logs and checkpoints in DIR"
    )
    return parser


def run(args: argparse.Namespace) -> int:
    """Run the cycles, print the table, and return 1 if there was a problem."""
    if sys.platform != "linux":
        raise InputError(f"the soak run needs Linux, this is {sys.platform}")
    if args.weights is not None and not args.weights.is_file():
        raise MissingFileError(f"--weights {args.weights}: there is no such file")
    folder = _empty_folder(args.keep)
    # Threads would neither survive a fork nor allow a mount.
    os.environ["OMP_NUM_THREADS"] = os.environ["OPENBLAS_NUM_THREADS"] = "1"
    # mmengine asks for a GPU when it is imported. Asked in CUDA's runtime, as torch does otherwise,
    # that keeps the trainings, which are forked from this process, from using one.
    os.environ["PYTORCH_NVML_BASED_CUDA_CHECK"] = "1"
    from soaking.faults import FAULTS
    from soaking.run import Soak
    from soaking.training import warm_up

    warm_up()
    start = time.monotonic()
    cycles = args.cycles or (len(FAULTS) if args.minutes is None else sys.maxsize)
    deadline = start + 60 * args.minutes if args.minutes else float("inf")
    failed = 0
    try:
        with contextlib.closing(Soak(folder, args.weights, args.seed)) as soak:
            print(f"disk: {soak.disk}\n{_HEAD}", flush=True)
            for row in soak.run(cycles, deadline):
                failed += bool(row.problems)
                print("\n".join(_lines(row)), flush=True)
    finally:
        if not (args.keep or failed):
            shutil.rmtree(folder)
    print(f"{failed or 'no'} line(s) with a problem, {time.monotonic() - start:.0f} s")
    if args.keep or failed:
        print(f"data, logs and checkpoints: {folder}")
    return int(bool(failed))


def _empty_folder(wanted: Path | None) -> Path:
    if wanted is None:
        return Path(tempfile.mkdtemp(prefix="ttrb_soak_"))
    wanted = wanted.expanduser().absolute()
    if wanted.exists() and (not wanted.is_dir() or any(wanted.iterdir())):
        raise InputError(f"--keep {wanted}: expected an empty folder, or one that is not there")
    wanted.mkdir(parents=True, exist_ok=True)
    return wanted


def _lines(row: SoakRow) -> Iterator[str]:
    said = row.said if len(row.said) <= _WIDTH else f"{row.said[: _WIDTH - 3]}..."
    yield _FORMAT.format(
        row.cycle, row.fault, row.resumed_from, "BAD" if row.problems else "ok", said
    ).rstrip()
    for problem in row.problems:
        yield f"      {problem}"


if __name__ == "__main__":
    sys.exit(main())
