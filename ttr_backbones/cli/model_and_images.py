"""What the commands on a model and a folder of photographs share: options, checks, loading."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ttr_backbones.cli.launcher import is_first
from ttr_backbones.errors import InputError, MissingFileError

if TYPE_CHECKING:
    from timm.models.vision_transformer import VisionTransformer

    from ttr_backbones.registers.images import ImageBatches

MOST_IMAGES = 500


def add_model_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the model, its weights, the images and the device to `parser`."""
    parser.add_argument("model", help="tagged timm name; without the tag if --checkpoint is given")
    parser.add_argument("--images", type=Path, required=True, metavar="DIR", help="photographs")
    parser.add_argument(
        "--checkpoint", type=Path, metavar="FILE", help="local weight file (default: the hub's)"
    )
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


def load(args: argparse.Namespace, progress: Any) -> tuple[VisionTransformer, ImageBatches]:
    """Make the model on its device, and the images it is to see; tell what is odd about them.

    Raises:
        MissingFileError: no such folder or weight file.
        InputError: whatever else is wrong with the arguments, the weights or the images.
    """
    from ttr_backbones.registers.images import image_batches
    from ttr_backbones.registers.photos import photo_files

    if args.checkpoint is not None and not args.checkpoint.is_file():
        raise MissingFileError(f"--checkpoint {args.checkpoint}: no such file")
    photo_files(args.images)  # before gigabytes of weights are fetched
    device = choose_device(args.device)
    vit = _with_classifier(args.model, args.checkpoint).to(device)
    images = image_batches(
        args.images,
        vit,
        batch_size=args.batch_size,
        size=args.size,
        num_images=args.num_images,
        on_bad="skip" if args.skip_bad else "error",
        progress=progress,
    )
    if images.gray_or_cmyk:
        warn(f"{len(images.gray_or_cmyk)} images converted to RGB", images.gray_or_cmyk)
    return vit, images


def tell_bad(images: ImageBatches) -> None:
    """Name the files that were left out; a broken body is found when it is read."""
    if images.bad:
        warn(f"{len(images.bad)} images left out", images.bad)


def warn(message: str, files: list[tuple[Path, str]] | None = None) -> None:
    """Print a warning to stderr, with at most ten files and what is to be said of each.

    One of several processes prints it.
    """
    if not is_first():
        return
    lines = [f"{file.name} ({why})" for file, why in (files or [])[:10]]
    more = ", ..." if files and len(files) > len(lines) else ""
    told = f": {', '.join(lines)}{more}" if lines else ""
    print(f"ttrb: warning: {message}{told}", file=sys.stderr)


def choose_device(name: str | None) -> Any:
    """Return the torch device `name`; by default the GPU if there is one.

    Raises:
        InputError: it cannot be used here.
    """
    import torch

    if name is None:
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
        torch.zeros(1, device=device)
    except (RuntimeError, AssertionError) as error:
        reason = str(error).partition("\n")[0]
        raise InputError(f"--device {name} cannot be used here ({reason}): try cpu") from error
    return device


def _with_classifier(model: str, checkpoint: Path | None) -> VisionTransformer:
    """Make the ViT with its classifier if its weights have one."""
    from ttr_backbones.backbones import create_vit
    from timm.models import get_pretrained_cfg, is_model  # isort: skip

    known = is_model(model.partition(".")[0])
    cfg = get_pretrained_cfg(model, allow_unregistered=True) if known else None
    classes = cfg.num_classes if cfg is not None else 0
    source: dict[str, Any] = {"pretrained": checkpoint is None, "checkpoint": checkpoint}
    try:
        return create_vit(model, **source, model_kwargs={"num_classes": classes})
    except InputError:
        if checkpoint is None or not classes:
            raise
    # The file may hold the backbone alone; any other fault shows again.
    return create_vit(model, **source)
