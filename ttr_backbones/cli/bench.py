"""Measure speed, of the neuron search or of object discovery, beside the usual way to write it."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ttr_backbones.errors import InputError, MissingFileError

if TYPE_CHECKING:
    from torch import Tensor

    from ttr_backbones.bench.discovery import DiscoveryBench
    from ttr_backbones.bench.search import SearchBench

MODEL = "vit_small_patch16_224"
DISCOVERY_SIZE = 480  # pixels; VOC's images have about 500 x 375


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what can be measured, each with its options."""
    what = parser.add_subparsers(dest="what", required=True, metavar="{search,discovery}")
    search = what.add_parser(
        "search",
        help="the neuron search",
        description=(
            "Images per second of the neuron search, in one pass and in two, beside plain forward "
            "passes and beside a search that runs one image at a time and copies everything to "
            "the CPU. Without options: a ViT with random weights, on random images."
        ),
    )
    discovery = what.add_parser(
        "discovery",
        help="object discovery after the backbone",
        description=(
            "Images per second of LOST on features that are there already, batched and one image "
            "at a time on the CPU, and the share of a whole run that is not the backbone. Without "
            "options: a ViT with random weights, on random images."
        ),
    )
    for bench, size in ((search, None), (discovery, DISCOVERY_SIZE)):
        bench.add_argument("--model", help=f"timm name, random weights ({MODEL})")
        bench.add_argument("--checkpoint", type=Path, metavar="FILE", help="local weight file")
        bench.add_argument("--images", type=Path, metavar="DIR", help="photographs (random ones)")
        bench.add_argument(
            "--size", type=int, default=size, help=f"side in pixels ({size or 'of the model'})"
        )
        bench.add_argument("--num-images", type=int, default=32, help="number of images (32)")
        bench.add_argument("--batch-size", type=int, default=8, help="images per batch (8)")
        bench.add_argument("--rounds", type=int, default=5, help="medians are over these (5)")
        bench.add_argument("--device", help="torch device (default: the GPU if there is one)")
        bench.add_argument("--json", type=Path, metavar="FILE", help="write the numbers here too")


def run(args: argparse.Namespace) -> int:
    """Measure, print one table, write the numbers if asked."""
    _check(args)
    from ttr_backbones.bench.discovery import bench_discovery
    from ttr_backbones.bench.search import bench_search

    model, images = _load(args)
    options = {"batch_size": args.batch_size, "rounds": args.rounds}
    setting = _setting(args, images)
    result: DiscoveryBench | SearchBench
    if args.what == "discovery":
        result = bench_discovery(model, images, **options)
        lines = _discovery_table(result)
    else:
        result = bench_search(model, images, **options)
        lines = _search_table(result)
    for line in [_told(setting), *lines]:
        print(line)
    if args.json is not None:
        args.json.write_text(_as_json(setting, result), encoding="utf-8")
    return 0


def _check(args: argparse.Namespace) -> None:
    for name in ("num_images", "batch_size", "rounds", "size"):
        given = getattr(args, name)
        if given is not None and given < 1:
            raise InputError(f"--{name.replace('_', '-')} {given}: expected a number above 0")
    if args.checkpoint is not None and not args.checkpoint.is_file():
        raise MissingFileError(f"--checkpoint {args.checkpoint}: no such file")
    if args.json is not None and not args.json.parent.is_dir():
        raise MissingFileError(f"--json {args.json}: no folder {args.json.parent}")


def _load(args: argparse.Namespace) -> tuple[Any, Tensor]:
    """Make the model (a TimmViT that gives keys, for object discovery) and all its images."""
    from ttr_backbones.backbones import TimmViT, create_vit
    from ttr_backbones.cli.demo import model_of_file
    from ttr_backbones.cli.model_and_images import choose_device
    from ttr_backbones.registers.images import image_batches
    import torch  # isort: skip

    if args.model is None:
        args.model = model_of_file(args.checkpoint) if args.checkpoint else MODEL
    model: Any
    if args.what == "discovery":
        model = TimmViT(args.model, checkpoint=args.checkpoint, facet="key", pad="corner")
    else:
        model = create_vit(args.model, checkpoint=args.checkpoint)
    model.to(choose_device(args.device))
    vit = model.vit if args.what == "discovery" else model
    if args.images is not None:
        batches = image_batches(args.images, vit, size=args.size, num_images=args.num_images)
        return model, torch.cat(list(batches))
    size = (args.size, args.size) if args.size else vit.patch_embed.img_size
    shape = (args.num_images, vit.patch_embed.proj.in_channels, *size)
    images = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    return model, images.to(next(vit.parameters()))


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


def _told(setting: dict[str, Any]) -> str:
    height, width = setting["size"]
    return (
        f"{setting['model']} ({setting['weights']}), {setting['num_images']} images of "
        f"{width} x {height} px ({setting['images']}), batches of {setting['batch_size']}; "
        f"{setting['device']}, {setting['threads']} threads, torch {setting['torch']}; "
        f"medians of {setting['rounds']} paired rounds"
    )


def _search_table(result: SearchBench) -> list[str]:
    lines = [f"{'':44}{'images/s':>10}{'forwards per image':>20}  goal"]
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


def _discovery_table(result: DiscoveryBench) -> list[str]:
    lines = [f"{'':44}{'images/s':>10}"]
    lines += [f"{name:44}{speed:10.1f}" for name, speed in result.images_per_second.items()]
    speed_goal = f" (goal: at least {result.goal_speedup:g})" if result.goal_speedup else ""
    share_goal = f" (goal: at most {100 * result.goal_share:g} %)" if result.goal_share else ""
    return [
        *lines,
        f"batched against one image at a time: {result.speedup:.2f} times as fast{speed_goal}",
        f"not the backbone: {100 * result.share:.1f} % of backbone and batched LOST{share_goal}",
        f"{result.same_boxes} of {result.num_images} images have the same box both ways",
    ]


def _as_json(setting: dict[str, Any], result: DiscoveryBench | SearchBench) -> str:
    from dataclasses import asdict

    return json.dumps({"setting": setting, **asdict(result)}, indent=1) + "\n"
