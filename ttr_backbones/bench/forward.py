"""`ttrb bench forward`: what a test-time register costs, in every way to run a ViT."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from ttr_backbones.bench.benched_vit import BenchedVit
from ttr_backbones.bench.compile_counts import (
    CompileCounts,
    compile_counts,
    host_reads,
    possible_variants,
)
from ttr_backbones.bench.contestants import (
    AUTHORS,
    BARE,
    PLAIN,
    as_variant,
    make_contestants,
    repaired,
)
from ttr_backbones.bench.cost import cost_of, count_flops
from ttr_backbones.bench.duration import Duration
from ttr_backbones.bench.live_memory import peak_bytes
from ttr_backbones.bench.rounds import Log, measure, silent
from ttr_backbones.bench.row import BenchRow, Contestant, Cost, Measured, patch_tokens
from ttr_backbones.bench.variants import VARIANTS, Variant
from ttr_backbones.errors import InputError
from ttr_backbones.repairs import REPAIRS
from ttr_backbones.vits.family import family_of

_BAKED_ON = 4  # images; the constants cost the same on however many they were measured


def bench_forward(
    benched: BenchedVit,
    *,
    size: int | None = None,
    other_size: int | None = None,
    batch_sizes: Sequence[int] = (1, 8),
    variants: Sequence[Variant] = (VARIANTS["eager"],),
    rounds: int = 5,
    limit: float | None = None,
    device: torch.device | None = None,
    log: Log = silent,
    announce: Log = silent,
) -> Measured:
    """Time the forward pass of a frozen ViT on random images.

    Args:
        benched: the ViT and its register neurons.
        size: side of the images in pixels; the model's own by default.
        other_size: with `size` in turn while graphs are counted; two patches more by default.
        batch_sizes: images at a time.
        variants: ways to run it.
        rounds: medians are over these.
        limit: seconds; of the variants behind the first, those that do not fit are left out.
        device: the CPU by default.
        log: called with lines of progress.
        announce: gets a line about how long all of it will take, as soon as that is known.

    Raises:
        InputError: see `BenchedVit`; a size that is no multiple of the patch; nothing but compiled
            variants where nothing can be compiled.
    """
    device = device or torch.device("cpu")
    backbone = benched.backbone()
    neurons = benched.chosen_neurons(backbone)
    patch = backbone.patch_size[0]
    size = size or family_of(backbone.vit).facts(backbone.vit).image_size[0]
    other_size = other_size or size + 2 * patch
    for side in (size, other_size):
        if side % patch:
            raise InputError(
                f"size {side}: expected a multiple of {benched.model}'s patch, {patch} px"
            )
    variants, notes = possible_variants("forward", variants, device)
    backbone.to(device)
    drawn = _images(max(_BAKED_ON, *batch_sizes), size, device)
    left_out: dict[str, str] = {}
    models = make_contestants(backbone, neurons, drawn[:_BAKED_ON], left_out)
    log("forward: how long it will take")
    duration = Duration.measure(models, variants, drawn[:1], batch_sizes, rounds)
    if limit is not None:
        variants, too_long = duration.fitting(limit)
        notes += too_long
    announce(f"forward: {duration.sentence(variants)}")
    rows: list[BenchRow] = []
    for batch_size in batch_sizes:
        images = drawn[:batch_size]
        contestants = []
        for variant in variants:
            log(f"forward: {variant.name}, batch of {batch_size}")
            contestants += forward_contestants(models, variant, images, backbone.patch_size)
        rows += measure("forward", contestants, device, rounds=rounds, log=log)
        torch._dynamo.reset()  # noqa: SLF001 (each shape is compiled for itself)
    log("forward: what Python waits for, and graphs")
    difference, reads = _difference(models, drawn[:1]), forward_reads(models, drawn[:1])
    facts: dict[str, Any] = {"difference": difference, "host_reads": reads}
    notes += [f"forward: without {name}: {why}" for name, why in left_out.items()]
    notes += [f"forward: {AUTHORS} is peak='layer', keep_cls=True, whatever the list says"] * (
        AUTHORS in models and bool(neurons.recorded_options)
    )
    notes += [
        f"forward: {BARE} differs from {PLAIN} by {difference:.1e} of the largest value",
        f"forward: values that Python waits for in one pass: {_listed(reads)}",
    ]
    if any(variant.compiled for variant in variants):
        counts = forward_counts(models, drawn[:2], _images(2, other_size, device))
        facts["compile_counts"] = {name: vars(count) for name, count in counts.items()}
        note = f"forward: compiled, {size} and {other_size} px in turn: {_listed(counts)}"
        notes += [note, _first_runs(rows)]
    setting = {
        **benched.setting(),
        "size": size,
        "register_neurons": {block: list(units) for block, units in neurons.layers.items()},
        **neurons.recorded_options,
        "rounds": rounds,
    }
    return Measured("forward", setting, rows, notes, facts)


def forward_contestants(
    models: Mapping[str, nn.Module], variant: Variant, images: Tensor, patch: tuple[int, int]
) -> list[Contestant]:
    """Make what is timed of `models`, run as `variant` on one batch.

    Args:
        models: of `make_contestants`; all of them, or some with `PLAIN`, which the ratios are over.
        variant: how to run them.
        images: [B, 3, H, W], on the device of the models.
        patch: height and width of a patch in pixels.
    """
    images = variant.images(images)
    batch, _, height, width = images.shape
    tokens = patch_tokens(batch, (height, width), patch)
    made = []
    for name, model in models.items():
        if variant.compiled and name == AUTHORS:
            continue  # it compiles to pieces between its hooks; they are counted instead
        run = as_variant(model, variant)
        made.append(
            Contestant(
                name,
                partial(run, images),
                images=batch,
                batch_size=batch,
                variant=variant.name,
                against=PLAIN,
                goal=_goal(name, variant, batch, images.device),
                tokens=tokens,
                cost=partial(_cost, model, run, variant, images),
                number=variant.number,
            )
        )
    return made


def _cost(model: nn.Module, run: nn.Module, variant: Variant, images: Tensor) -> Cost:
    """Count the eager form's operations; only a GPU knows the memory of a compiled form."""
    device, call = images.device, partial(run, images)
    held = [*run.parameters(), *run.buffers(), images]
    if not variant.compiled:
        return cost_of(call, held, device)
    eager = as_variant(model, dataclasses.replace(variant, compiled=False))
    eager(images)
    peak = peak_bytes(call, held, device) if device.type == "cuda" else None
    return Cost(count_flops(partial(eager, images)), peak)


def _goal(name: str, variant: Variant, batch_size: int, device: torch.device) -> float | None:
    """The most that a repair may cost, times plain timm."""
    if name not in {repaired(kind) for kind in REPAIRS}:
        return None
    if device.type != "cuda":
        return 1.05
    if not (variant.compiled and variant.bf16):
        return None
    return 1.02 if batch_size >= 8 else 1.05


def _images(count: int, size: int, device: torch.device) -> Tensor:
    drawn = torch.randn(count, 3, size, size, generator=torch.Generator().manual_seed(0))
    return drawn.to(device)


def _difference(models: Mapping[str, nn.Module], images: Tensor) -> float:
    """Largest difference of our maps without a register from plain timm's, over their largest."""
    ours, plain = (as_variant(models[name], VARIANTS["eager"])(images) for name in (BARE, PLAIN))
    return ((ours - plain).abs().max() / plain.abs().max()).item()


def forward_reads(models: Mapping[str, nn.Module], images: Tensor) -> dict[str, int]:
    """Count the values that Python waits for in one eager pass of each model."""
    reads = {}
    for name, model in models.items():
        run = as_variant(model, VARIANTS["eager"])
        run(images)
        reads[name] = host_reads(partial(run, images), images.device)
    return reads


def forward_counts(
    models: Mapping[str, nn.Module], images: Tensor, other: Tensor
) -> dict[str, CompileCounts]:
    """Count the graphs of each model for images of two sizes in turn."""
    compiled = {name: as_variant(model, VARIANTS["compiled"]) for name, model in models.items()}
    return {name: compile_counts(run, images, other) for name, run in compiled.items()}


def _first_runs(rows: Sequence[BenchRow]) -> str:
    taken = [row.first_seconds for row in rows if row.variant.startswith("compiled")]
    return (
        f"forward: compiling, in the first run, took {min(taken):.1f} to {max(taken):.1f} s each "
        "and is in no other number"
    )


def _listed(facts: Mapping[str, object]) -> str:
    return "; ".join(f"{name}: {value}" for name, value in facts.items())
