"""From the options of `ttrb bench` to each of its parts."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

from ttr_backbones.comma_list import comma_list
from ttr_backbones.errors import InputError

if TYPE_CHECKING:
    import torch

    from ttr_backbones.bench.benched_vit import BenchedVit
    from ttr_backbones.bench.rounds import Log
    from ttr_backbones.bench.row import Measured
    from ttr_backbones.bench.variants import Variant

MODEL = "vit_small_patch16_224"
_SHORT = 90.0  # seconds for the variants of a short forward part, which takes two minutes with all


def forward(args: argparse.Namespace, device: torch.device, log: Log) -> Measured:
    """Measure the forward pass."""
    from ttr_backbones.bench.forward import bench_forward

    # Compiling takes a quarter of a minute or more for each contestant and batch size.
    default = ["eager", "bf16"]
    if device.type == "cuda":
        default.append("compiled-bf16")
    elif not args.short:
        default.append("compiled")
    if not args.short:
        default.append("channels-last")
    return bench_forward(
        _benched(args),
        size=args.size,
        other_size=args.other_size,
        batch_sizes=args.batch_sizes,
        variants=_variants(args, default),
        rounds=args.rounds,
        limit=_SHORT if args.short and args.variants is None else None,
        device=device,
        log=log,
        announce=partial(print, file=sys.stderr, flush=True),
    )


def train(args: argparse.Namespace, device: torch.device, log: Log) -> Measured:
    """Measure a training step."""
    from ttr_backbones.bench.train import bench_train
    from ttr_backbones.bench.training import TrainSetting

    return bench_train(
        _benched(args),
        setting=TrainSetting(args.size or TrainSetting.size, args.num_classes),
        heads=args.heads,
        batch_sizes=args.batch_sizes,
        variants=_variants(args, ["eager", "bf16"] if device.type == "cuda" else ["eager"]),
        rounds=args.rounds,
        device=device,
        log=log,
    )


def search(args: argparse.Namespace, device: torch.device, log: Log) -> Measured:
    """Measure the neuron search."""
    from ttr_backbones.backbones import create_vit
    from ttr_backbones.bench.search import bench_search

    vit = create_vit(_model(args), checkpoint=args.checkpoint).to(device)
    return bench_search(
        vit,
        _images(args, vit),
        batch_sizes=args.batch_sizes,
        rounds=args.rounds,
        log=log,
    )


def object_discovery(args: argparse.Namespace, device: torch.device, log: Log) -> Measured:
    """Measure object discovery."""
    from ttr_backbones.backbones import TimmViT
    from ttr_backbones.bench.object_discovery import bench_object_discovery

    backbone = TimmViT(_model(args), checkpoint=args.checkpoint, facet="key", pad="corner")
    backbone.to(device)
    return bench_object_discovery(
        backbone,
        _images(args, backbone.vit),
        batch_sizes=args.batch_sizes,
        rounds=args.rounds,
        log=log,
    )


def memory(args: argparse.Namespace, device: torch.device, log: Log) -> Measured:
    """Work out what fits where."""
    from ttr_backbones.bench.memory import MODELS, bench_memory
    from ttr_backbones.bench.training import TrainSetting

    return bench_memory(
        comma_list(args.models) if args.models else MODELS,
        batch_sizes=args.batch_sizes,
        setting=TrainSetting(args.size or TrainSetting.size, args.num_classes),
        heads=args.heads,
        device=device,
        log=log,
    )


MEASURES: dict[str, Callable[[argparse.Namespace, torch.device, Log], Measured]] = {
    "forward": forward,
    "train": train,
    "search": search,
    "object-discovery": object_discovery,
    "memory": memory,
}


def _model(args: argparse.Namespace) -> str:
    from ttr_backbones.cli.demo import model_of_file

    if args.model is None and args.checkpoint is not None:
        return model_of_file(args.checkpoint)
    return args.model or MODEL


def _benched(args: argparse.Namespace) -> BenchedVit:
    from ttr_backbones.bench.benched_vit import BenchedVit
    from ttr_backbones.registers import RegisterNeurons

    path = args.neurons
    neurons = None if path is None else RegisterNeurons.load(path)
    return BenchedVit(_model(args), args.checkpoint, neurons)


def _variants(args: argparse.Namespace, default: list[str]) -> list[Variant]:
    from ttr_backbones.bench.variants import choose_variants

    return choose_variants(comma_list(args.variants) if args.variants else default)


def _images(args: argparse.Namespace, vit: Any) -> torch.Tensor:
    """All images in memory, normalised: of a folder, or random."""
    from ttr_backbones.images.batches import image_batches
    from ttr_backbones.vits.family import family_of
    import torch  # isort: skip

    if args.images is not None:
        batches = image_batches(args.images, vit, size=args.size, num_images=args.num_images)
        return torch.cat(list(batches))
    facts = family_of(vit).facts(vit)
    height, width = (args.size, args.size) if args.size else facts.image_size
    patch = facts.patch_size[0]
    if height % patch or width % patch:
        raise InputError(f"--size {height}: expected a multiple of the patch, {patch} px")
    random = torch.Generator().manual_seed(0)
    images = torch.randn(args.num_images, 3, height, width, generator=random)
    return images.to(next(vit.parameters()))
