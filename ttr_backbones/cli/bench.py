"""Measure speed: `ttrb bench search` times the neuron search beside plain forward passes."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ttr_backbones.errors import InputError, MissingFileError

if TYPE_CHECKING:
    from timm.models.vision_transformer import VisionTransformer
    from torch import Tensor

    from ttr_backbones.bench.search import SearchBench

MODEL = "vit_small_patch16_224"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what can be measured, each with its options."""
    what = parser.add_subparsers(dest="what", required=True, metavar="search")
    search = what.add_parser(
        "search",
        help="the neuron search",
        description=(
            "Images per second of the neuron search, in one pass and in two, beside plain forward "
            "passes and beside a search that runs one image at a time and copies everything to "
            "the CPU. Without options: a ViT with random weights, on random images."
        ),
    )
    search.add_argument("--model", help=f"timm name, random weights ({MODEL})")
    search.add_argument("--checkpoint", type=Path, metavar="FILE", help="local weight file")
    search.add_argument("--images", type=Path, metavar="DIR", help="photographs (random ones)")
    search.add_argument("--num-images", type=int, default=32, help="number of images (32)")
    search.add_argument("--batch-size", type=int, default=8, help="images per batch (8)")
    search.add_argument("--rounds", type=int, default=5, help="medians are over these (5)")
    search.add_argument("--device", help="torch device (default: the GPU if there is one)")
    search.add_argument("--json", type=Path, metavar="FILE", help="write the numbers here too")


def run(args: argparse.Namespace) -> int:
    """Measure, print one table, write the numbers if asked."""
    for name in ("num_images", "batch_size", "rounds"):
        if getattr(args, name) < 1:
            flag = name.replace("_", "-")
            raise InputError(f"--{flag} {getattr(args, name)}: expected a number above 0")
    if args.checkpoint is not None and not args.checkpoint.is_file():
        raise MissingFileError(f"--checkpoint {args.checkpoint}: no such file")
    if args.json is not None and not args.json.parent.is_dir():
        raise MissingFileError(f"--json {args.json}: no folder {args.json.parent}")
    from ttr_backbones.bench.search import bench_search

    vit, images = _load(args)
    result = bench_search(vit, images, batch_size=args.batch_size, rounds=args.rounds)
    setting = _setting(args, images)
    for line in _table(setting, result):
        print(line)
    if args.json is not None:
        args.json.write_text(_as_json(setting, result), encoding="utf-8")
    return 0


def _load(args: argparse.Namespace) -> tuple[VisionTransformer, Tensor]:
    """Make the model and all its images, in memory."""
    from ttr_backbones.backbones import create_vit
    from ttr_backbones.cli.demo import model_of_file
    from ttr_backbones.cli.model_and_images import choose_device
    from ttr_backbones.registers.images import image_batches
    import torch  # isort: skip

    if args.model is None:
        args.model = model_of_file(args.checkpoint) if args.checkpoint else MODEL
    vit = create_vit(args.model, checkpoint=args.checkpoint).to(choose_device(args.device))
    if args.images is not None:
        batches = image_batches(args.images, vit, num_images=args.num_images)
        return vit, torch.cat(list(batches))
    shape = (args.num_images, vit.patch_embed.proj.in_channels, *vit.patch_embed.img_size)
    images = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    return vit, images.to(next(vit.parameters()))


def _setting(args: argparse.Namespace, images: Tensor) -> dict[str, Any]:
    """Everything that the numbers depend on."""
    import torch

    cuda = images.device.type == "cuda"
    return {
        "model": args.model,
        "weights": str(args.checkpoint) if args.checkpoint else "random",
        "images": str(args.images) if args.images else "random",
        "num_images": len(images),
        "size": list(images.shape[2:]),
        "batch_size": args.batch_size,
        "rounds": args.rounds,
        "device": torch.cuda.get_device_name(images.device) if cuda else str(images.device),
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
    }


def _table(setting: dict[str, Any], result: SearchBench) -> list[str]:
    height, width = setting["size"]
    lines = [
        f"{setting['model']} ({setting['weights']}), {setting['num_images']} images of "
        f"{width} x {height} px ({setting['images']}), batches of {setting['batch_size']}; "
        f"{setting['device']}, {setting['threads']} threads, torch {setting['torch']}; "
        f"medians of {setting['rounds']} paired rounds",
        f"{'':44}{'images/s':>10}{'forwards per image':>20}  goal",
    ]
    for name, timing in result.timings.items():
        goal = "" if timing.goal is None else f"  at most {timing.goal}"
        lines.append(f"{name:44}{timing.images_per_second:10.1f}{timing.forwards:20.2f}{goal}")
    gains = [f"{name}: {gain:.2f} times as fast" for name, gain in result.speedup.items()]
    same = "the same" if result.same_neurons else "NOT the same"
    return [
        *lines,
        f"against one image at a time: {'; '.join(gains)}",
        f"all searches find {same} ten neurons",
    ]


def _as_json(setting: dict[str, Any], result: SearchBench) -> str:
    from dataclasses import asdict

    return json.dumps({"setting": setting, **asdict(result)}, indent=1) + "\n"
