"""Show where a vision-language model looks for its answers, without and with a register."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ttr_backbones.app.devices import choose_device
from ttr_backbones.app.messages import warn
from ttr_backbones.app.progress import ProgressBar
from ttr_backbones.atomic import check_writable
from ttr_backbones.errors import InputError, MissingFileError
from ttr_backbones.result_names import relative_paths

if TYPE_CHECKING:
    from ttr_backbones.attribution_page.comparison import Question


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `ttrb attribute`."""
    parser.description = (
        "Asks a vision-language model of transformers (LLaVA, LLaVA-NeXT, InternVL, ...) about "
        "images, without and with a test-time register in its vision tower, and shows which "
        "patches every token of the answer takes from: numbers.json, overview.png and "
        "attribution.html with both answers side by side. With --boxes it also plays the pointing "
        "game. All questions count in the numbers; the page shows the first 24."
    )
    parser.add_argument("model", metavar="MODEL", help="OWNER/NAME on the hub, or a folder")
    parser.add_argument("--images", type=Path, required=True, metavar="DIR", help="photographs")
    parser.add_argument(
        "--prompt",
        required=True,
        help="the question, or a full prompt with the image token; {category} asks for every "
        "category that has boxes",
    )
    parser.add_argument(
        "--neurons", type=Path, required=True, metavar="FILE", help="register neurons of the tower"
    )
    parser.add_argument(
        "--boxes", type=Path, metavar="FILE", help="COCO instances file with boxes of the images"
    )
    parser.add_argument(
        "--method",
        default="attention",
        help="attention, rollout, or gradient (times attention) (attention)",
    )
    parser.add_argument(
        "--max-new-tokens", type=int, default=32, help="at most so many answer tokens (32)"
    )
    parser.add_argument(
        "--num-images", type=int, default=24, help="at most so many, spread evenly over all (24)"
    )
    parser.add_argument("--batch-size", type=int, default=1, help="images per pass (1)")
    parser.add_argument(
        "--dtype", default="float32", help="float32, bfloat16 or float16 weights (float32)"
    )
    parser.add_argument("--device", help="torch device (default: the GPU if there is one)")
    parser.add_argument(
        "--out", type=Path, default=Path("ttrb_attribute"), help="folder (ttrb_attribute)"
    )
    parser.add_argument(
        "--skip-bad", action="store_true", help="go on without images that cannot be used"
    )


def run(args: argparse.Namespace) -> int:
    """Ask, measure, write."""
    from ttr_backbones.registers import RegisterNeurons

    # All that is quick, before gigabytes of weights.
    neurons = RegisterNeurons.load(args.neurons)
    questions = _questions(args)
    check_writable(args.out)
    device = choose_device(args.device)

    from ttr_backbones.attribution_page.comparison import compare
    from ttr_backbones.attribution_page.numbers import numbers
    from ttr_backbones.attribution_page.write import write_all
    from ttr_backbones.vlm import load_vlm

    vlm = load_vlm(args.model, dtype=args.dtype, device=device)
    bar = ProgressBar("answers")
    try:
        comparison = compare(
            vlm,
            questions,
            neurons,
            method=args.method,
            max_new_tokens=args.max_new_tokens,
            batch_size=args.batch_size,
            progress=bar,
        )
    finally:
        bar.close()
    found = numbers(
        comparison, model=args.model, vlm_model=vlm.model, neurons=neurons, method=args.method
    )
    print(f"{found['verdict']} {found['details']}", flush=True)
    write_all(args.out, comparison, found, on_written=_print_path)
    return 0


def _questions(args: argparse.Namespace) -> list[Question]:
    from ttr_backbones.attribution_page.questions import boxes_by_file, questions, read_images
    from ttr_backbones.images.photos import photo_files
    from ttr_backbones.vlm.replay import METHODS

    for name in ("max_new_tokens", "num_images", "batch_size"):
        if getattr(args, name) < 1:
            raise InputError(
                f"--{name.replace('_', '-')} {getattr(args, name)}: expected at least 1"
            )
    if args.method not in METHODS:
        from ttr_backbones.errors import unknown_name

        raise InputError(f"--method: {unknown_name('method', args.method, METHODS)}")
    if args.boxes is not None and not args.boxes.is_file():
        raise MissingFileError(f"--boxes {args.boxes}: no such file")
    boxes = None if args.boxes is None else boxes_by_file(args.boxes)
    files = photo_files(args.images)
    if boxes is not None:
        files = [file for file in files if file.name in boxes] or files
    count = min(args.num_images, len(files))
    files = [files[i * len(files) // count] for i in range(count)]
    images, bad = read_images(files, skip=args.skip_bad)
    if bad:
        warn(f"{len(bad)} images left out", bad)
    below = relative_paths(list(images))
    names = {file: below[str(file)].as_posix() for file in images}
    return questions(images, names, args.prompt, boxes)


def _print_path(path: Any) -> None:
    print(path, flush=True)
