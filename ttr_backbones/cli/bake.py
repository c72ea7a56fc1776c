"""Turn test-time registers into constants of a model's attention, measured once on photographs."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ttr_backbones.app.progress import ProgressBar
from ttr_backbones.atomic import check_writable
from ttr_backbones.cli.arguments import add_cfg_options
from ttr_backbones.cli.list_doubts import warn_of_doubts
from ttr_backbones.cli.model_and_images import (
    add_model_arguments,
    load,
    photographs,
    tell_bad,
)
from ttr_backbones.cli.verify import counted, percent
from ttr_backbones.errors import InputError

if TYPE_CHECKING:
    from ttr_backbones.app.vit_source import VitSource
    from ttr_backbones.registers import BakedRegisters, RegisterNeurons
    from ttr_backbones.repairs.forms import FormComparison

_CLEARS = {"keep_cls": False, "fill": "zero", "positions": None}  # as zeroed weights do


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `ttrb bake`."""
    parser.description = (
        "Averages the key and value of the test-time registers over photographs, per head and "
        "block, and writes them to a file for repair=dict(type='bias', artifact=FILE): no token "
        "and no edit while the model runs. Then compares the model without registers, with the "
        "neurons only cleared, with registers as tokens and with these constants, and prints a "
        "table."
    )
    add_model_arguments(parser, or_config=True)
    parser.add_argument(
        "--out", type=Path, required=True, metavar="FILE.safetensors", help="the file to write"
    )
    parser.add_argument(
        "--neurons",
        metavar="FILE|auto",
        help="register neurons; auto: those that ship (default: the config's, else auto)",
    )
    parser.add_argument(
        "--num", type=int, help="registers (default: the config's or the list's number, else 1)"
    )
    parser.add_argument(
        "--peak", help="what moves to them: neuron or layer (default: the config's, else neuron)"
    )
    parser.add_argument(
        "--compare-on",
        type=Path,
        metavar="DIR",
        help="other photographs for the table (default: those of --images)",
    )
    add_cfg_options(parser)


def run(args: argparse.Namespace) -> int:
    """Bake, write, compare, print the table."""
    from ttr_backbones.app.vit_source import vit_source
    from ttr_backbones.images.photos import photo_files
    from ttr_backbones.repairs.bake import bake_registers
    from ttr_backbones.repairs.forms import compare_forms

    _check_out(args.out)
    # Before the weights: they may be gigabytes to fetch, and the list may not exist.
    if args.compare_on is not None:
        photo_files(args.compare_on)
    source = vit_source(args)
    neurons = source.register_neurons(args.neurons)
    options = _options(args, source, neurons)
    bar = ProgressBar()
    try:
        vit, images = load(args, bar, source)
        neurons.check(vit)
        warn_of_doubts(neurons, vit, max(images.size or (0,)))
        baked = bake_registers(vit, neurons, images, **options)
        baked.artifact.save(args.out)
        bar.close()
        tell_bad(images)
        _tell(baked, args.out)
        others = images
        if args.compare_on is not None:
            others = photographs(args, args.compare_on, vit, bar)
        seen = compare_forms(vit, baked, others)
    finally:
        bar.close()
    if others is not images:
        tell_bad(others)
    place = "the same" if others is images else args.compare_on
    print(
        f"\ncompared on {seen.num_images} images ({place}); an outlier patch has a norm above "
        f"{seen.threshold:.1f} after block {seen.detect_block}"
    )
    print(table(seen))
    return 0


def table(seen: FormComparison) -> str:
    """Lay out the comparison: a row per measure, a column per form."""
    forms = seen.forms
    rows = [
        ("", list(forms)),
        ("outlier patches", [percent(form.outliers) for form in forms.values()]),
        ("largest patch norm", [f"{form.largest:.1f}" for form in forms.values()]),
        ("cosine to the tokens' features", [f"{form.cosine:.4f}" for form in forms.values()]),
    ]
    shares = [form.top1_agreement for form in forms.values() if form.top1_agreement is not None]
    if shares:
        rows.append(("top-1 class as with tokens", [percent(share) for share in shares]))
    lines = [f"{name:32}" + "".join(f"{cell:>10}" for cell in cells) for name, cells in rows]
    return "\n".join(lines)


def _options(
    args: argparse.Namespace, source: VitSource, neurons: RegisterNeurons
) -> dict[str, Any]:
    """The registers to measure: the config's, changed by the command line."""
    choice = source.choice()
    options = {} if choice is None else choice.token_options
    for name, value in _CLEARS.items():
        given = options.pop(name, value)
        if given != value:
            raise InputError(
                f"the config's registers have {name}={given!r}; zeroed weights "
                f"clear the neurons at every token, as {name}={value!r} does. Constants cannot "
                f"stand for that: add --cfg-options model.backbone.repair.{name}={value}, or "
                "keep registers as tokens"
            )
    if (
        args.neurons is not None or choice is None or choice.neurons is None
    ):  # else it is as the config says
        options.setdefault("num", neurons.provenance.get("num_registers", 1))
    given = {"num": args.num, "peak": args.peak}
    return options | {name: value for name, value in given.items() if value is not None}


def _check_out(out: Path) -> None:
    """Say now, not after the work, that the file cannot be written."""
    if out.suffix != ".safetensors" or out.is_dir():
        raise InputError(
            f"--out {out}: expected the name of a safetensors file, as in baked.safetensors"
        )
    check_writable(out.parent)


def _tell(baked: BakedRegisters, out: Path) -> None:
    told = baked.provenance
    print(
        f"{baked.model}: {counted(len(baked.neurons), 'neuron')}, "
        f"{counted(baked.num, 'register')}, measured on {told['num_images']} images of "
        f"{told['input_size']} px\n"
        f"wrote {out}, to be used as repair=dict(type='bias', artifact='{out}')",
        flush=True,
    )
