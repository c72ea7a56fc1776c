"""Find a model's register neurons on your photographs, with nothing to choose by hand."""

from __future__ import annotations

import argparse
import sys
import tempfile
import textwrap
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ttr_backbones.app.launcher import add_launcher, is_first, join_processes
from ttr_backbones.app.progress import ProgressBar
from ttr_backbones.cli.exit_codes import EXIT_NO_OUTLIERS
from ttr_backbones.cli.model_and_images import add_model_arguments, load, tell_bad
from ttr_backbones.errors import InputError

if TYPE_CHECKING:
    from torch import nn

    from ttr_backbones.images.batches import ImageBatches
    from ttr_backbones.neuron_search.search import FoundNeurons

EXIT_FAILED = 1


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `ttrb find-neurons`."""
    parser.description = (
        "Finds the block where outliers appear, the norm that makes one, and the smallest set of "
        "neurons that takes them away when moved to a register; measures it on images held out, "
        "beside random neurons; writes the list and a picture beside it. Exit code 0: found, 1: "
        "no set does it, 2: wrong input, 3: the model has no outliers (what was seen is said, and "
        "nothing is written). Any of the options under 'by hand' switches to one plain search "
        "(Algorithm 1 of arXiv 2506.08010) instead. On several GPUs: torchrun --nproc-per-node N "
        "--no-python ttrb find-neurons ... --launcher pytorch."
    )
    add_model_arguments(parser)
    add_launcher(parser)
    parser.add_argument(
        "--out", type=Path, required=True, metavar="FILE.json", help="the list; a .png goes with it"
    )
    hand = parser.add_argument_group("by hand")
    hand.add_argument("--top-k", type=int, metavar="K", help="number of neurons (10)")
    hand.add_argument("--detect-block", type=int, metavar="L", help="norms after this block (-1)")
    hand.add_argument(
        "--threshold", help="norm of an outlier, or a rule: gap, mean_std, median_mad (gap)"
    )
    hand.add_argument("--bottom-block", type=int, metavar="L", help="first block ranked (0)")
    hand.add_argument("--top-block", type=int, metavar="L", help="last one (the detection block)")
    hand.add_argument(
        "--include-cls", action="store_true", default=None, help="CLS can be an outlier too"
    )
    hand.add_argument(
        "--no-sparsity",
        dest="sparsity",
        action="store_false",
        default=None,
        help="keep neurons that are on in most tokens",
    )


BY_HAND = (
    "top_k",
    "detect_block",
    "threshold",
    "bottom_block",
    "top_block",
    "include_cls",
    "sparsity",
)


def run(args: argparse.Namespace) -> int:
    """Search, write the list and the picture, print the verdict."""
    if is_first():
        _check_writable(args.out)
    join_processes(args)
    chosen = {name: getattr(args, name) for name in BY_HAND if getattr(args, name) is not None}
    from ttr_backbones.registers import NoOutliersError

    bar = ProgressBar()
    try:
        vit, images = load(args, bar)
        found = _search(vit, images, chosen)
        _write(found, vit, images, args.out)
    except NoOutliersError as error:
        bar.close()
        tell_bad(images)
        if is_first():
            print(textwrap.fill(str(error), 100))
            print(f"ttrb: no outliers, so no list: {args.out} was not written", file=sys.stderr)
        return EXIT_NO_OUTLIERS
    finally:
        bar.close()
    tell_bad(images)
    if is_first():
        for line in _verdict(found):
            print(textwrap.fill(line, 100))
        print(f"list: {args.out}\npicture: {args.out.with_suffix('.png')}")
    return 0 if getattr(found, "passed", True) else EXIT_FAILED


def _search(vit: nn.Module, images: ImageBatches, chosen: dict[str, Any]) -> FoundNeurons:
    from ttr_backbones.neuron_search.search import find_register_neurons
    from ttr_backbones.neuron_search.tune import tune_register_neurons

    if not chosen:
        return tune_register_neurons(vit, images)
    if "threshold" in chosen:
        chosen["threshold"] = _number_or_rule(chosen["threshold"])
    return find_register_neurons(vit, images, **chosen)


def _write(found: FoundNeurons, vit: nn.Module, images: ImageBatches, out: Path) -> None:
    from ttr_backbones.neuron_search.provenance import provenance
    from ttr_backbones.registers import RegisterNeurons
    from ttr_backbones.report.search_picture import draw_search, norms_before_and_after

    norms = norms_before_and_after(vit, found, images)  # the work of all processes
    if is_first():
        RegisterNeurons(found.model, found.layers, provenance(found, vit, images)).save(out)
        draw_search(found, norms, out.with_suffix(".png"))


def _verdict(found: FoundNeurons) -> list[str]:
    from ttr_backbones.neuron_search.tune import TunedNeurons

    neurons = ", ".join(
        f"{block}:{unit}" for block, units in found.layers.items() for unit in units
    )
    lines = [f"{found.model}: block:unit {neurons}"]
    if isinstance(found, TunedNeurons):
        return [*lines, found.verdict]
    return [
        *lines,
        f"{found.num_outliers} outliers (norm above {found.threshold:.4g} after block "
        f"{found.detect_block}) in {found.num_images} images. Not tuned or measured: see `ttrb "
        "verify`.",
    ]


def _number_or_rule(text: str) -> float | str:
    try:
        return float(text)
    except ValueError:
        return text


def _check_writable(out: Path) -> None:
    """Say now, not after the search, that the list cannot be written."""
    if out.suffix != ".json" or out.is_dir():
        raise InputError(f"--out {out}: expected the name of a JSON file, as in neurons.json")
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=out.parent):
            pass
        if out.exists():
            out.open("a").close()
    except OSError as error:
        reason = error.strerror or str(error)
        raise InputError(
            f"--out {out} cannot be written ({reason}): choose another place"
        ) from error
