"""What the commands on a model and a folder of photographs share: options, checks, loading."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ttr_backbones.app.devices import choose_device
from ttr_backbones.app.messages import warn
from ttr_backbones.errors import MissingFileError

if TYPE_CHECKING:
    from torch import nn

    from ttr_backbones.app.vit_source import VitSource
    from ttr_backbones.images.batches import ImageBatches

MOST_IMAGES = 500


_NAME = "tagged timm name; without the tag if --checkpoint is given"


def add_model_arguments(parser: argparse.ArgumentParser, *, or_config: bool = False) -> None:
    """Add the model, its weights, the images and the device to `parser`."""
    if or_config:
        metavar = "MODEL|CONFIG"
        parser.add_argument("model", metavar=metavar, help=f"{_NAME}, or a config (file or name)")
    else:
        parser.add_argument("model", help=_NAME)
    parser.add_argument(
        "--checkpoint", type=Path, metavar="FILE", help="local weight file (default: the hub's)"
    )
    add_image_arguments(parser)


def add_image_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the images, how they are given to the model, and the device to `parser`."""
    parser.add_argument("--images", type=Path, required=True, metavar="DIR", help="photographs")
    parser.add_argument(
        "--size", type=int, help="side of the square input in pixels (default: the model's)"
    )
    parser.add_argument(
        "--num-images",
        type=int,
        default=MOST_IMAGES,
        help=f"use at most so many, spread evenly over the folder ({MOST_IMAGES})",
    )
    parser.add_argument("--batch-size", type=int, default=8, help="images per batch (8)")
    parser.add_argument("--device", help="torch device (default: the GPU if there is one)")
    parser.add_argument(
        "--skip-bad", action="store_true", help="go on without images that cannot be used"
    )


def load(
    args: argparse.Namespace, progress: Any, source: VitSource | None = None
) -> tuple[nn.Module, ImageBatches]:
    """Make the model on its device, and its images; warn of what is odd about them.

    Args:
        args: the options of `add_model_arguments`.
        progress: called after every batch.
        source: where the model comes from; by default what `args` name, a timm model.

    Raises:
        MissingFileError: no such folder or weight file.
        InputError: whatever else is wrong with the arguments, the weights or the images.
    """
    from ttr_backbones.app.vit_source import VitSource, vit_with_classifier
    from ttr_backbones.images.photos import photo_files

    if source is None and args.checkpoint is not None and not args.checkpoint.is_file():
        raise MissingFileError(f"--checkpoint {args.checkpoint}: no such file")
    photo_files(args.images)  # before gigabytes of weights are fetched
    device = choose_device(args.device)
    vit = vit_with_classifier(source or VitSource(args.model, args.checkpoint)).to(device)
    return vit, photographs(args, args.images, vit, progress)


def photographs(
    args: argparse.Namespace, folder: Path, vit: nn.Module, progress: Any
) -> ImageBatches:
    """Give the photographs of a folder as batches for `vit`, as `args` ask for them.

    Raises:
        MissingFileError: no such folder.
        InputError: images that cannot be used, or a size that does not fit the model.
    """
    from ttr_backbones.images.batches import image_batches

    images = image_batches(
        folder,
        vit,
        batch_size=args.batch_size,
        size=args.size,
        num_images=args.num_images,
        on_bad="skip" if args.skip_bad else "error",
        progress=progress,
    )
    if images.gray_or_cmyk:
        warn(f"{len(images.gray_or_cmyk)} images converted to RGB", images.gray_or_cmyk)
    return images


def warn_of_left_out_images(images: ImageBatches) -> None:
    """Name the files that were left out; a broken body is found when it is read."""
    if images.bad:
        warn(f"{len(images.bad)} images left out", images.bad)
