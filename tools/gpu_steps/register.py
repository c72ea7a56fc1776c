"""What a register costs in a forward pass, and how near the pass is to the matrix products."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from gpu_steps.rows import record_rows
from gpu_steps.step import Check
from ttr_backbones.bench.compile_counts import possible_variants
from ttr_backbones.bench.contestants import PLAIN, TOKEN, make_contestants, repaired
from ttr_backbones.bench.forward import forward_contestants
from ttr_backbones.bench.machine import matrix_rate
from ttr_backbones.bench.rounds import measure
from ttr_backbones.bench.row import BenchRow
from ttr_backbones.bench.variants import VARIANTS, Variant

BIAS = repaired("bias")

_BAKED_ON = 4  # images


class Forms:
    """The contestants of one ViT, to be timed batch by batch."""

    def __init__(self, check: Check, model: str, size: int) -> None:
        self._check, self._size = check, size
        self._where = f"{model}, {size} px"
        benched = check.scale.benched(model)
        backbone = benched.backbone().to(check.device)
        self._patch = backbone.patch_size
        most = max(_BAKED_ON, *check.scale.batches)
        random = torch.Generator().manual_seed(0)
        drawn = torch.randn(most, 3, size, size, generator=random)
        self._images = drawn.to(check.device)
        self._models = make_contestants(
            backbone, benched.chosen_neurons(backbone), self._images[:_BAKED_ON]
        )
        self._rates = {}
        for number, dtype in (("fp32", torch.float32), ("bf16", torch.bfloat16)):
            self._rates[number] = matrix_rate(dtype, check.device, check.scale.matrix_sides)

    def time(self, variant: Variant, batch: int, names: Sequence[str] = ()) -> list[BenchRow]:
        """Time the contestants of these names, by default all, and record the rows."""
        models = {name: self._models[name] for name in names or self._models}
        device = self._check.device
        contestants = forward_contestants(models, variant, self._images[:batch], self._patch)
        rows = measure("forward", contestants, device, rounds=self._check.scale.rounds, log=print)
        torch._dynamo.reset()  # noqa: SLF001 (each shape is compiled for itself)
        goals: dict[str, str] = {}
        if variant.bf16 and variant.compiled and "batch 1" in self._check.goals:
            goal = "batch 1" if batch == 1 else "larger batches"
            goals = dict.fromkeys((TOKEN, BIAS), goal)
        record_rows(self._check, rows, self._where, goals=goals, rates=self._rates)
        return rows

    def share(self, rows: Sequence[BenchRow], goal: str | None) -> None:
        """Record the share of the matrix products that the form with a register reaches."""
        row = next(row for row in rows if row.contestant == TOKEN)
        share = row.share(self._rates) or float("nan")
        what = f"{self._where}, {row.variant}, batch {row.batch_size}: share of matrix products"
        self._check.record(what, share, f"{100 * share:.0f} %", goal=goal)


def smaller(check: Check) -> None:
    """The smaller ViT at both sizes, compiled in bfloat16: where a register could show."""
    variant = best_variant(check)
    for size in check.scale.timed:
        made = Forms(check, check.scale.base, size)
        for batch in check.scale.batches:
            made.time(variant, batch, (PLAIN, TOKEN, BIAS) if batch > 1 else (PLAIN, TOKEN))


def larger(check: Check) -> None:
    """The larger ViT at the larger size: first eager, which takes no time to compile."""
    made = Forms(check, check.scale.large, check.scale.timed[-1])
    batch = check.scale.batches[0]
    made.share(made.time(VARIANTS["bf16"], batch), None)
    made.share(made.time(best_variant(check), batch, (PLAIN, TOKEN)), "share")
    for batch in check.scale.batches[1:]:
        made.time(best_variant(check), batch, (PLAIN, TOKEN))


def everything(check: Check) -> None:
    """All that is left of models, sizes, batches and ways to run, the cheap ones first."""
    variants, notes = possible_variants(
        "forward", [VARIANTS[name] for name in ("bf16", "eager", "compiled")], check.device
    )
    for note in notes:
        check.record("left out", note)
    models = dict.fromkeys((check.scale.base, check.scale.large))
    # Made once: random weights for a large ViT take seconds.
    all_made = [Forms(check, model, size) for model in models for size in check.scale.timed]
    for variant in variants:
        for made in all_made:
            for batch in check.scale.batches:
                made.time(variant, batch, (PLAIN, TOKEN) if variant.compiled else ())


def best_variant(check: Check) -> Variant:
    """Compiled bfloat16; eager, with a note, where nothing can be compiled."""
    (variant, *_), notes = possible_variants(
        "forward", [VARIANTS["compiled-bf16"], VARIANTS["bf16"]], check.device
    )
    for note in notes:
        check.record("left out", note)
    return variant
