"""Export a model with its registers to one file, ONNX or torch.export, and check the file."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from ttr_backbones.cli.arguments import add_cfg_options, allow_negative_lists, integer_list
from ttr_backbones.errors import InputError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `ttrb export`."""
    parser.description = (
        "Writes one file that needs no code of this package. Input: image, float32 [B, 3, H, W], "
        "RGB on the scale 0..255. Output: logits [B, K, H, W] (of classification [B, K]), depth "
        "[B, 1, H, W] in metres, or for a timm model and for object discovery map_0, ... "
        "[B, C, h, w]. The names of classes are inside. The file is compared "
        "with the model on random images before it gets its name: one that differs is deleted, "
        "and the exit code is 1."
    )
    allow_negative_lists(parser)
    parser.add_argument("model", help="config file, name of a packaged config, or timm model")
    parser.add_argument(
        "checkpoint", nargs="?", help="of the config's head; weights of the timm model (the hub's)"
    )
    parser.add_argument(
        "--out", type=Path, required=True, metavar="FILE", help="FILE.onnx or FILE.pt2"
    )
    parser.add_argument(
        "--size",
        type=int,
        nargs=2,
        metavar=("H", "W"),
        help="size of the images (the config's window or crop, the model's own)",
    )
    parser.add_argument(
        "--dynamic", action="store_true", help="images of any size, from three patches a side on"
    )
    parser.add_argument("--batch", type=int, metavar="N", help="number of images (any)")
    parser.add_argument("--opset", type=int, metavar="N", help="ONNX opset (the exporter's)")
    parser.add_argument(
        "--repair",
        metavar="R",
        help="of a timm model: none, a type of repair (what ships for the model), auto (its "
        "test-time register), or a file: a neuron list or an artifact (none)",
    )
    parser.add_argument(
        "--blocks", metavar="B,...", help="blocks of a timm model, as 8,11 or -1 (-1)"
    )
    add_cfg_options(parser)
    # Python before 3.12.7 refuses an optional positional argument behind an option.
    parser.parse_args = parser.parse_intermixed_args  # type: ignore[method-assign]


def run(args: argparse.Namespace) -> int:
    """Export, and print how the file compares with the model."""
    if args.dynamic and args.size is not None:
        raise InputError("--dynamic takes images of any size: leave out --size, or --dynamic")
    blocks = None if args.blocks is None else integer_list("--blocks", args.blocks)

    from ttr_backbones.app.messages import note
    from ttr_backbones.export import MismatchError, check_target, export_model, load_exportable

    out = check_target(args.out, args.opset)
    exportable = load_exportable(
        args.model,
        args.checkpoint,
        repair=args.repair,
        blocks=blocks,
        cfg_options=args.cfg_options,
    )
    size = exportable.size if args.size is None else tuple(args.size)
    try:
        differences = export_model(
            exportable,
            out,
            size=size,
            any_size=args.dynamic,
            batch=args.batch,
            opset=args.opset,
            progress=note,
        )
    except MismatchError as error:
        print(f"ttrb: error: {error}", file=sys.stderr)
        return 1
    if exportable.besides is not None:
        note(f"not inside is what `ttrb test` does besides: {exportable.besides}")
    sides = "images of any size" if args.dynamic else "images of {} x {}".format(*size)
    print(f"{out}: {exportable.name}, {sides} -> {', '.join(exportable.outputs)}")
    for difference in differences:
        print(f"  compared at {difference}")
    return 0
