"""Check a list of register neurons against stated bounds; exit code 1 if it fails them."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from ttr_backbones.cli.launcher import add_launcher, is_first, join_processes
from ttr_backbones.cli.model_and_images import add_model_arguments, load, tell_bad, warn
from ttr_backbones.cli.progress import ProgressBar
from ttr_backbones.errors import InputError

if TYPE_CHECKING:
    from ttr_backbones.registers import RegisterNeurons
    from ttr_backbones.registers.verification import Verification

EXIT_FAILED = 1


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `ttrb verify`."""
    parser.description = (
        "Runs a model without and with test-time registers on photographs and prints a table: "
        "outliers, norms, how similar everything else stays, and whether that is within the "
        "bounds. Exit code 0: passed, 1: failed, 2: wrong input."
    )
    add_model_arguments(parser)
    add_launcher(parser)
    parser.add_argument(
        "--neurons", type=Path, metavar="FILE", help="the list (default: the one that ships)"
    )
    parser.add_argument("--num", type=int, help="registers (default: the list's own number, or 1)")


def run(args: argparse.Namespace) -> int:
    """Verify, print the table."""
    from ttr_backbones.registers import RegisterNeurons
    from ttr_backbones.registers.provenance import differences
    from ttr_backbones.registers.verification import verify_neurons

    # First, because the weights may be gigabytes to fetch and the list may not exist.
    if args.neurons is None:
        neurons = RegisterNeurons.bundled(args.model)
    else:
        neurons = RegisterNeurons.load(args.neurons)
    num = neurons.provenance.get("num_registers", 1) if args.num is None else args.num
    if not isinstance(num, int) or num < 0:
        raise InputError(f"num_registers is {num!r}: expected an integer of at least 0")
    join_processes(args)
    bar = ProgressBar()
    try:
        vit, images = load(args, bar)
        neurons.check(vit)
        size = max(images.size or (0,))
        for difference in differences(neurons, vit, size):
            warn(difference)
        seen = verify_neurons(vit, neurons, images, num=num)
    finally:
        bar.close()
    tell_bad(images)
    if is_first():
        _print(seen, neurons, args.model, size)
    return 0 if seen.passed else EXIT_FAILED


def _print(seen: Verification, neurons: RegisterNeurons, model: str, size: int) -> None:
    print(
        f"{neurons.model or model}: {counted(len(neurons), 'neuron')}, "
        f"{counted(seen.num, 'register')}, {seen.num_images} images of {size} px"
    )
    print(f"an outlier patch has a norm above {seen.threshold:.1f} after block {seen.detect_block}")
    print(table(seen))


def table(seen: Verification) -> str:
    """Lay out what was measured: one row each, with the bound and whether it holds."""
    bounds, checks = seen.bounds, seen.checks
    rows = [
        ("", "without", "with", "bound", ""),
        ("outlier patches", percent(seen.outliers_before), percent(seen.outliers_after), "", ""),
        (
            "outliers left",
            "100 %",
            percent(seen.remaining),
            f"<= {percent(bounds.remaining)}",
            _told(checks["remaining"]),
        ),
        ("largest patch norm", f"{seen.largest_before:.1f}", f"{seen.largest_after:.1f}", "", ""),
        ("register norm, mean", "", "" if seen.num == 0 else f"{seen.register_norm:.1f}", "", ""),
        (
            "cosine of other patches",
            "1",
            f"{seen.cosine:.3f}",
            f">= {bounds.cosine:g}",
            _told(checks["cosine"]),
        ),
    ]
    if seen.top1_agreement is None:
        rows.append(("top-1 agreement", "", "no classifier", "", ""))
    else:
        rows.append(
            (
                "top-1 agreement",
                "100 %",
                percent(seen.top1_agreement),
                f">= {percent(bounds.top1_agreement)}",
                _told(checks["top1_agreement"]),
            ),
        )
    lines = [f"{a:24}{b:>10}{c:>14}{d:>12}  {e}".rstrip() for a, b, c, d, e in rows]
    return "\n".join([*lines, "passed" if seen.passed else "FAILED"])


def _told(holds: bool) -> str:
    return "ok" if holds else "FAILED"


def percent(share: float) -> str:
    """Three digits and the sign."""
    return f"{100 * share:.3g} %"


def counted(count: int, noun: str) -> str:
    """The number and the noun, with an s unless there is one."""
    return f"{count} {noun}{'s' * (count != 1)}"
