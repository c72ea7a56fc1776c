"""Show the method: on a planted model, with a CPU only, or on a real model and your images."""

from __future__ import annotations

import argparse
from pathlib import Path

from ttr_backbones.cli.arguments import integer_list
from ttr_backbones.demo.tasks import DEMONSTRATIONS
from ttr_backbones.errors import InputError, MissingFileError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `ttrb demo`."""
    parser.description = (
        "Without --model or --checkpoint: draw synthetic scenes, plant register neurons in a small "
        "random ViT, evaluate it without and with a test-time register, print one table and save "
        "a picture (under three minutes on two CPU cores). With one of them: patch norms and CLS "
        "attention of a real model on your images, before and after."
    )
    parser.add_argument(
        "--out", type=Path, default=Path("ttrb_demo"), help="folder to write into (ttrb_demo)"
    )
    parser.add_argument(
        "--task",
        choices=tuple(DEMONSTRATIONS),
        help="planted model: train linear heads for segmentation (the default) or depth, or find "
        "objects without training (TokenCut)",
    )
    parser.add_argument("--seeds", help="planted model: seeds separated by commas (0,1,2)")
    parser.add_argument("--model", help="real model: tagged timm name")
    parser.add_argument("--checkpoint", type=Path, help="real model: local weight file")
    parser.add_argument(
        "--neurons", type=Path, help="real model: register-neuron list (default: the bundled one)"
    )
    parser.add_argument("--images", type=Path, help="real model: folder of images")
    parser.add_argument("--size", type=int, help="real model: side of the square input in pixels")


def run(args: argparse.Namespace) -> int:
    """Run the planted demo, or compare a real model before and after."""
    if args.out.exists() and not args.out.is_dir():
        raise InputError(f"--out {args.out} is a file: expected a folder; it need not exist yet")
    if args.model is None and args.checkpoint is None:
        return _planted(args)
    return _real(args)


def _planted(args: argparse.Namespace) -> int:
    for flag in ("neurons", "images", "size"):
        if getattr(args, flag) is not None:
            raise InputError(
                f"--{flag} goes with a real model: add --model NAME or --checkpoint FILE, or leave "
                f"--{flag} out for the planted one"
            )
    seeds = integer_list("--seeds", args.seeds or "0,1,2", least=0)
    from ttr_backbones.demo.run import run_demo

    run_demo(args.out, seeds, task=args.task or "segmentation", log=_print_line)
    return 0


def _real(args: argparse.Namespace) -> int:
    for flag in ("seeds", "task"):
        if getattr(args, flag) is not None:
            raise InputError(f"--{flag} belongs to the planted model: leave it out with a real one")
    if args.images is None:
        raise InputError("a real model needs pictures to look at: add --images DIR")
    if not args.images.is_dir():
        raise MissingFileError(f"--images {args.images}: no such folder; expected one with images")
    if args.checkpoint is not None and not args.checkpoint.is_file():
        raise MissingFileError(f"--checkpoint {args.checkpoint}: no such file")
    if args.size is not None and args.size < 1:
        raise InputError(f"--size {args.size}: expected a number of pixels above 0")
    model = args.model or model_of_file(args.checkpoint)
    from ttr_backbones.app.messages import warn
    from ttr_backbones.report.artifacts import compare_artifacts

    summary, picture = compare_artifacts(
        model, args.images, args.neurons, args.out, checkpoint=args.checkpoint, size=args.size
    )
    for doubt in summary["doubts"]:
        warn(doubt)
    print(summary["verdict"])
    print(f"picture: {picture}")
    return 0


def model_of_file(checkpoint: Path) -> str:
    """Take the model's timm name from the name of its weight file.

    Raises:
        InputError: timm has no model of that name.
    """
    import ttr_backbones.registers  # noqa: F401 -- makes timm importable beside a CPU-only torch
    import timm  # isort: skip

    name = checkpoint.stem
    if not timm.is_model(name.partition(".")[0]):
        raise InputError(
            f"--checkpoint {checkpoint}: {name!r} is no timm model, so the file does not tell what "
            "it holds: add --model NAME, as in --model vit_large_patch14_dinov2.lvd142m"
        )
    return name


def _print_line(line: str) -> None:
    print(line, flush=True)
