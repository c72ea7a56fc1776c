"""Does everything run on this GPU, and how fast? One command, ten minutes, no data and no network.

    python tools/gpu_check.py --out DIR

Steps run in the order of their worth, each in a process of its own that is killed when its time is
over. Every fact is printed as a line of a Markdown table at once, and `gpu_check.md` and
`gpu_check.json` in DIR are whole after each: a check that is cut gives what it had. With
`--device cpu` the same is rehearsed with tiny models; goals that are speeds are not judged then.
The exit code is 1 if a step failed or a goal was missed. Linux only.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch
    from gpu_steps.step import Check, Step

_TOOLS = Path(__file__).resolve().parent
_LAST = 3.0  # seconds before the end in which no step begins, and none runs on


def main(argv: Sequence[str] | None = None) -> int:
    """Check; return the exit code."""
    args = _arguments(argv)
    # Both here and for the processes that steps start; the package need not be installed, and what
    # a disturbed training is made of belongs to its tests.
    sys.path[:0] = [str(_TOOLS), str(_TOOLS.parent), str(_TOOLS.parent / "tests")]
    os.environ["PYTHONPATH"] = os.pathsep.join(sys.path[:3])
    if args.requirements:
        from gpu_steps.requirements import requirements

        print("\n".join(requirements()))
        return 0
    # Otherwise the question whether there is a GPU, which mmengine asks when it is imported, keeps
    # processes that are forked later from using it.
    os.environ["PYTORCH_NVML_BASED_CUDA_CHECK"] = "1"
    os.environ.setdefault("OMP_NUM_THREADS", str(_cores()))
    import torch
    from gpu_steps.steps import STEPS

    from ttr_backbones.comma_list import comma_list

    steps = {step.name: step for step in STEPS}
    wanted = comma_list(args.steps) if args.steps else list(steps)
    unknown = [name for name in wanted if name not in steps]
    if unknown:
        return _refuse(f"--steps {unknown[0]}: expected some of {', '.join(steps)}")
    if args.device == "cuda" and not torch.cuda.is_available():
        return _refuse("torch sees no GPU here: `--device cpu` rehearses the check")
    device = torch.device(args.device)
    if args.facts is not None:
        return _again(steps[wanted[0]], device, args.facts)
    args.out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="gpu_check_", ignore_cleanup_errors=True) as folder:
        return _run([steps[name] for name in wanted], device, args, Path(folder))


def _arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--device", choices=["cuda", "cpu"], default="cuda")
    parser.add_argument("--minutes", type=float, default=10.0, help="for all steps together (10)")
    parser.add_argument("--out", type=Path, default=Path("work_dirs/gpu_check"), metavar="DIR")
    parser.add_argument("--steps", metavar="A,B", help="some steps only, in this order")
    parser.add_argument(
        "--requirements", action="store_true", help="name the packages that it needs and end"
    )
    parser.add_argument("--facts", type=int, help=argparse.SUPPRESS)
    return parser.parse_args(argv)


def _run(steps: list[Step], device: torch.device, args: argparse.Namespace, folder: Path) -> int:
    from gpu_steps.in_time import StepOutcome, run_in_time
    from gpu_steps.report import Report

    report = Report(args.out, {"device": args.device, "minutes": args.minutes})
    log = args.out / "log.txt"
    log.write_bytes(b"")
    for step in steps:
        report.begin(step.name)
        left = 60 * args.minutes - report.seconds - _LAST
        if left < 1:
            report.end(StepOutcome("no time", "", 0.0))
            continue
        check = _check(step, device, folder)
        check.write = report.add
        again = [sys.executable, str(Path(__file__).resolve()), "--device", args.device]
        again += ["--steps", step.name, "--facts"]
        # Whoever rehearses may share the CPU.
        seconds = step.seconds if device.type == "cuda" else 3 * step.seconds
        report.end(run_in_time(step, check, min(seconds, left), log, again))
    return 0 if report.close() else 1


def _again(step: Step, device: torch.device, pipe: int) -> int:
    """Run one step in this process, started anew since a forked one could not use CUDA."""
    from gpu_steps.in_time import run_and_write_facts

    with tempfile.TemporaryDirectory(prefix="gpu_check_", ignore_cleanup_errors=True) as folder:
        run_and_write_facts(step, _check(step, device, Path(folder)), pipe)
    return 0


def _check(step: Step, device: torch.device, folder: Path) -> Check:
    from gpu_steps.scale import REAL, TINY
    from gpu_steps.step import Check

    shared = Path(os.environ.get("TTRB_SHARED", _TOOLS.parents[1] / "shared"))
    step_folder = folder / step.name.replace(" ", "_")
    step_folder.mkdir()
    return Check(
        device=device,
        scale=REAL if device.type == "cuda" else TINY,
        folder=step_folder,
        shared=shared if shared.is_dir() else None,
        goals=step.goals,
        write=print,
    )


def _cores() -> int:
    with contextlib.suppress(AttributeError):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _refuse(message: str) -> int:
    print(f"gpu_check: error: {message}", file=sys.stderr)
    return 2


if __name__ == "__main__":
    sys.exit(main())
