"""Make the vectors of class names once: of texts, or of rows of a model's own classifier."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ttr_backbones.atomic import check_writable
from ttr_backbones.errors import InputError

if TYPE_CHECKING:
    from ttr_backbones.app.vit_source import VitSource
    from ttr_backbones.text_vectors import TextVectors

IMAGENET = "imagenet"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `ttrb text`."""
    parser.description = (
        "Writes a file that zero-shot classification and segmentation read; it belongs to the "
        "weights of MODEL. Texts need the extra [clip], and one checkpoint of OpenAI or open_clip "
        "has image and text; hf:FOLDER brings its own. --source classifier needs neither."
    )
    parser.add_argument(
        "model", metavar="MODEL|CONFIG", help="of the images: tagged timm name, hf:NAME, a config"
    )
    parser.add_argument(
        "--classes",
        required=True,
        metavar="FILE|DIR",
        help="one class per line, its names separated by ', '; with --source classifier lines "
        f"'CLASS: ROWS', as in 'cat: 281-285'; {IMAGENET}: the 1,000 classes of ImageNet; a folder "
        "of class folders, whose names are taken, or of images label=OBJECT_text=WORD.png",
    )
    parser.add_argument(
        "--templates",
        metavar="T",
        help="imagenet (OpenAI's 80), one ('a photo of a {}.'), or a file with one per line "
        "(imagenet)",
    )
    parser.add_argument("--out", type=Path, required=True, metavar="FILE.safetensors")
    parser.add_argument(
        "--source", choices=["text", "classifier"], default="text", help="of the vectors (text)"
    )
    parser.add_argument(
        "--checkpoint",
        type=Path,
        metavar="FILE",
        help="one weight file, for images and texts (the hub's)",
    )
    parser.add_argument(
        "--text-tower",
        metavar="WHERE",
        help="local-dir:DIR or hf-hub:OWNER/NAME of open_clip, where the texts are not in the "
        "checkpoint",
    )
    parser.add_argument("--batch-size", type=int, help="sentences per pass (512)")
    parser.add_argument("--device", help="torch device (default: the GPU if there is one)")
    parser.set_defaults(cfg_options=None)


def run(args: argparse.Namespace) -> int:
    """Make the vectors and write them."""
    if args.out.suffix != ".safetensors":
        raise InputError(f"--out {args.out}: expected a name that ends with .safetensors")
    from ttr_backbones.app.vit_source import vit_source

    source = vit_source(args)
    check_writable(args.out.parent)
    vectors = (
        _of_classifier(args, source) if args.source == "classifier" else _of_tower(args, source)
    )
    vectors.save(args.out)
    queries, channels = vectors.vectors.shape
    made_of = f"{len(vectors.templates)} templates" if vectors.templates else "a classifier's rows"
    print(
        f"{len(vectors.classes)} classes, {queries} vectors of {channels} numbers from {made_of}, "
        f"for {vectors.model or args.model}: {args.out}"
    )
    return 0


def _folder_class_names(folder: Path) -> list[str]:
    """Class names in the order that the data sets of such folders number them in."""
    from ttr_backbones.datasets.class_folders import class_names
    from ttr_backbones.datasets.typographic import attacks, union

    if any(path.is_dir() for path in folder.iterdir()):
        return [name.replace("_", " ") for name in class_names(folder)]
    return list(union(attacks(folder)))


def _of_tower(args: argparse.Namespace, source: VitSource) -> TextVectors:
    from ttr_backbones.text_vectors import read_classes
    from ttr_backbones.text_vectors.templates import imagenet_names, templates_named

    if args.classes == IMAGENET:
        classes: Sequence[Sequence[str]] = [(name,) for name in imagenet_names()]
    elif Path(args.classes).is_dir():
        classes = [(name,) for name in _folder_class_names(Path(args.classes))]
    else:
        classes = read_classes(args.classes)
    templates = templates_named(args.templates or IMAGENET)

    from ttr_backbones.app.devices import choose_device
    from ttr_backbones.app.progress import ProgressBar
    from ttr_backbones.text_vectors.text_of_model import text_vectors

    bar = ProgressBar("sentences")
    try:
        return text_vectors(
            source.model,
            classes,
            templates,
            checkpoint=source.checkpoint,
            model_kwargs=source.model_kwargs,
            text_tower=args.text_tower,
            device=choose_device(args.device),
            batch_size=512 if args.batch_size is None else args.batch_size,
            progress=bar,
        )
    finally:
        bar.close()


def _of_classifier(args: argparse.Namespace, source: VitSource) -> TextVectors:
    without_use = {
        "--templates": args.templates,
        "--text-tower": args.text_tower,
        "--batch-size": args.batch_size,
        "--device": args.device,
    }
    needless = [option for option, value in without_use.items() if value is not None]
    if needless:
        raise InputError(f"{', '.join(needless)}: only for texts, and --source classifier has none")
    from ttr_backbones.text_vectors import classifier_vectors
    from ttr_backbones.text_vectors.rows_file import imagenet_rows, read_rows

    rows = imagenet_rows() if args.classes == IMAGENET else read_rows(args.classes)
    from ttr_backbones.text_vectors.text_of_model import image_tower

    vit = image_tower(source.model, source.checkpoint, source.model_kwargs)
    return classifier_vectors(vit, rows)
