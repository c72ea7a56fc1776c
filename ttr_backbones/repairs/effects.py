"""What repairs do to a model, side by side on the same images: outliers, side effects, cost.

In a distributed job every process takes every world-size-th batch, and all get the same numbers.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ttr_backbones.images.batches import ImageBatches, Progress, image_batches
from ttr_backbones.images.finite import naming_images
from ttr_backbones.images.processes import add_up, gather_rows, numbered_process_batches
from ttr_backbones.neuron_search.onset import Onset, find_onset
from ttr_backbones.neuron_search.references import shifted
from ttr_backbones.neuron_search.search import NoOutliersError
from ttr_backbones.neuron_search.verification import observe
from ttr_backbones.repairs.artifact import Artifact
from ttr_backbones.repairs.nearest_images import neighbour_agreement
from ttr_backbones.repairs.outlier_direction import (
    OutlierDirection,
    direction_of_sums,
    outlier_direction,
)
from ttr_backbones.repairs.registry import apply_repair, repair_of
from ttr_backbones.repairs.run_time import ROUNDS, run_time_ratios
from ttr_backbones.vits.class_swap import check_plain, restored_eval, sharing_copy
from ttr_backbones.vits.family import family_of

NONE, SHIFTED = "none", "shifted"
"""The model as it is, and the same on images moved by one pixel, which changes nothing."""
_FACTS = 5  # per image and model: see `_Rows`


@dataclass(frozen=True, eq=False)
class Effect:
    """What a change does to a model on some images.

    Args:
        outliers: share of all patches that are outliers by their norm; None where the model as it
            is has none, so that no norm makes one.
        along: share of all patches whose final features point where those of the model's outliers
            do (`outlier_direction`); None as above.
        largest: largest patch norm.
        cosine: mean cosine similarity of the final features of the patches that were no outliers
            to what they were; None where nothing compares them, as with another model.
        top1_agreement: share of images whose top-1 class stays; None without a classifier.
        neighbours: share of each image's five nearest images that stay (`neighbour_agreement`);
            None for few images or a model that gives no embedding.
        tokens_added: tokens more in the sequence inside the model.
        run_time: seconds of a pass over those of the model as it is; None where not timed.
        image_costs: 1 - cosine and changed class per image, float64 [N, 2].
    """

    outliers: float | None
    along: float | None
    largest: float
    cosine: float | None
    top1_agreement: float | None
    neighbours: float | None
    tokens_added: int
    run_time: float | None
    image_costs: Tensor


@dataclass(frozen=True, eq=False)
class Effects:
    """Effects on the same images.

    Args:
        num_images: images seen.
        size: their height and width.
        detect_block: 0-based block after which norms were taken.
        threshold: norm above which a patch was an outlier; None for a model without outliers.
        no_outliers: why it has none, in a sentence; "" if it has some.
        columns: "none", every repair by its name, and "shifted".
    """

    num_images: int
    size: tuple[int, int]
    detect_block: int
    threshold: float | None
    no_outliers: str
    columns: dict[str, Effect]


def measure_effects(
    vit: nn.Module,
    artifacts: Mapping[str, Artifact],
    images: Tensor | str | Path | Iterable[Any] | ImageBatches,
    *,
    options: Mapping[str, Mapping[str, Any]] | None = None,
    rounds: int = ROUNDS,
    batch_size: int = 8,
    progress: Progress | None = None,
) -> Effects:
    """Run a model as it is, with every repair, and on images moved by one pixel.

    Args:
        vit: a timm ViT without a repair; left as it is.
        artifacts: by the name of their column.
        images: whatever `image_batches` takes, more than once: three passes.
        options: of `apply_repair`, by name of a column.
        rounds: of the timing, which is done on the first batch; 0 leaves it out.
        batch_size: images per batch.
        progress: called with (images done, images in all or None) after every batch.

    Raises:
        InputError: an artifact of another model; images that cannot be used.
    """
    check_plain(vit)
    batches = image_batches(images, vit, batch_size=batch_size, progress=progress)
    batches.require_reiterable("finding the threshold")
    models: dict[str, nn.Module] = {NONE: vit}
    with restored_eval(vit):
        for name, artifact in artifacts.items():
            copied = sharing_copy(vit)
            models[name] = apply_repair(copied, artifact, **dict((options or {}).get(name, {})))
        onset, why = _onset(vit, batches)
        direction = None if onset is None else _direction(vit, batches, onset)
        depth = len(family_of(vit).blocks(vit))
        block, threshold = (onset.detect, onset.threshold) if onset else (depth - 1, None)
        rows = _Rows(block, threshold, direction)
        for first, batch in numbered_process_batches(batches):
            with naming_images(batches, first):
                rows.add(models, batch)
        columns = rows.effects(models, rounds)
    return Effects(
        num_images=rows.num_images,
        size=batches.size or (0, 0),
        detect_block=rows.block,
        threshold=rows.threshold,
        no_outliers=why,
        columns=columns,
    )


def _onset(vit: nn.Module, batches: ImageBatches) -> tuple[Onset | None, str]:
    try:
        return find_onset(vit, batches), ""
    except NoOutliersError as error:
        return None, str(error)


def _direction(vit: nn.Module, batches: ImageBatches, onset: Onset) -> OutlierDirection | None:
    def parts() -> Iterator[tuple[Tensor, Tensor]]:
        for first, batch in numbered_process_batches(batches):
            with naming_images(batches, first):
                seen = observe(vit, batch, onset.detect)
            yield seen.features, seen.norms > onset.threshold

    sums = outlier_direction(parts())
    add_up([sums], sums.device)
    return direction_of_sums(sums)


class _Rows:
    """What is kept of the images: numbers of each under each model, and its embeddings.

    Attributes:
        facts: per batch, float64 [B, models + 1, 5]: outliers by norm and by direction, sum of the
            cosines of the other patches, changed class, largest norm.
        counts: per batch, float64 [B, 2]: patches, and those that were no outliers.
        pooled: per model and batch, [B, E].
    """

    def __init__(
        self, block: int, threshold: float | None, direction: OutlierDirection | None
    ) -> None:
        self.block, self.threshold, self.direction = block, threshold, direction
        self.facts: list[Tensor] = []
        self.counts: list[Tensor] = []
        self.pooled: dict[str, list[Tensor]] = {}
        self.num_images = 0
        self._timed: Tensor | None = None

    @torch.no_grad()
    def add(self, models: Mapping[str, nn.Module], batch: Tensor) -> None:
        self._timed = batch if self._timed is None else self._timed
        runs = [*((name, model, batch) for name, model in models.items())]
        runs.append((SHIFTED, models[NONE], shifted(batch)))
        limit = float("inf") if self.threshold is None else self.threshold
        seen = {name: observe(model, given, self.block) for name, model, given in runs}
        before = seen[NONE]
        others = before.norms <= limit
        facts = []
        for name, each in seen.items():
            cosine = F.cosine_similarity(before.features.float(), each.features.float(), dim=2)
            there = others.new_zeros(others.shape)
            if self.direction is not None:
                there = self.direction.points_there(each.features)
            facts += [
                (each.norms > limit).sum(dim=1).double(),
                there.sum(dim=1).double(),
                (cosine * others).double().sum(dim=1),
                (each.classes != before.classes).double(),
                each.norms.amax(dim=1).double(),
            ]
            self.pooled.setdefault(name, [])
            if each.pooled is not None:
                self.pooled[name].append(each.pooled.float().cpu())
        self.facts.append(torch.stack(facts, dim=1).unflatten(1, (len(seen), _FACTS)).cpu())
        patches = others.new_full((len(others),), others.shape[1], dtype=torch.float64)
        self.counts.append(torch.stack([patches, others.sum(dim=1).double()], dim=1).cpu())

    def effects(self, models: Mapping[str, nn.Module], rounds: int) -> dict[str, Effect]:
        facts, counts = gather_rows(torch.cat(self.facts)), gather_rows(torch.cat(self.counts))
        self.num_images = len(counts)
        ratios = {}
        if self._timed is not None and rounds:
            ratios = run_time_ratios(models, self._timed, rounds=rounds)
        pooled = {
            name: gather_rows(torch.cat(parts)) for name, parts in self.pooled.items() if parts
        }
        classes = family_of(models[NONE]).has_classifier(models[NONE])
        found = {}
        for index, name in enumerate(self.pooled):
            own = facts[:, index]
            found[name] = self._effect(own, counts, classes=classes) | {
                "neighbours": neighbour_agreement(pooled[NONE], pooled[name])
                if name in pooled
                else None,
                "tokens_added": _tokens_added(models[name]) if name in models else 0,
                "run_time": ratios.get(name),
            }
        return {name: Effect(**each) for name, each in found.items()}

    def _effect(self, own: Tensor, counts: Tensor, *, classes: bool) -> dict[str, Any]:
        patches, others = counts.sum(dim=0).tolist()
        cosines = own[:, 2] / counts[:, 1].clamp_min(1)
        return {
            "outliers": None if self.threshold is None else own[:, 0].sum().item() / patches,
            "along": None if self.direction is None else own[:, 1].sum().item() / patches,
            "largest": own[:, 4].max().item(),
            "cosine": own[:, 2].sum().item() / max(others, 1),
            "top1_agreement": 1 - own[:, 3].mean().item() if classes else None,
            "image_costs": torch.stack([1 - cosines, own[:, 3]], dim=1),
        }


def _tokens_added(vit: nn.Module) -> int:
    repair = repair_of(vit)
    return 0 if repair is None else repair.tokens_added(vit)
