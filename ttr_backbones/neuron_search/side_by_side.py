"""Several models on the same images: the one measurement behind every table of what changes do.

In a distributed job every process takes every world-size-th batch, and all get the same rows.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ttr_backbones.errors import InputError
from ttr_backbones.images.batches import ImageBatches
from ttr_backbones.images.finite import check_finite, naming_images
from ttr_backbones.images.processes import gather_rows, numbered_process_batches
from ttr_backbones.neuron_search.outliers import token_norms
from ttr_backbones.neuron_search.references import shifted
from ttr_backbones.vits.family import family_of
from ttr_backbones.vits.register_tokens import forward_with_registers

NONE, SHIFTED = "none", "shifted"
"""The model as it is, and the same on images moved by one pixel, which changes nothing."""


class ImageNumbers(NamedTuple):
    """Numbers of images under one model, float64 [N] each.

    Attributes:
        outliers: patches with a norm above the threshold.
        along: patches that point where outliers do.
        cosines: sum of the cosines of the patches that were no outliers to what they were.
        changed: 1 where the top-1 class is another one.
        largest: largest patch norm.
        register_norm: mean norm of the registers; NaN without any.
    """

    outliers: Tensor
    along: Tensor
    cosines: Tensor
    changed: Tensor
    largest: Tensor
    register_norm: Tensor


@dataclass(frozen=True, eq=False)
class SideBySide:
    """What was seen of the images, of all processes.

    Args:
        facts: by model.
        patches: of each image, [N].
        others: those that were no outliers in the model as it is, [N].
        pooled: by model, embeddings [N, E] where it gives any and they were to be kept.
        first_batch: of this process, [B, 3, H, W]; None without images.
    """

    facts: dict[str, ImageNumbers]
    patches: Tensor
    others: Tensor
    pooled: dict[str, Tensor]
    first_batch: Tensor | None

    def share(self, counts: Tensor) -> float:
        """Share of all patches that `counts` [N] are."""
        return (counts.sum() / self.patches.sum()).item()

    def cosine(self, name: str) -> float:
        """Mean cosine of all patches that were no outliers to what they were."""
        return (self.facts[name].cosines.sum() / self.others.sum().clamp_min(1)).item()

    def image_costs(self, name: str) -> Tensor:
        """1 - mean cosine, and whether the class has changed, per image: float64 [N, 2]."""
        facts = self.facts[name]
        return torch.stack([1 - facts.cosines / self.others.clamp_min(1), facts.changed], dim=1)


@torch.no_grad()
def side_by_side(
    models: Mapping[str, nn.Module],
    batches: ImageBatches,
    *,
    block: int,
    threshold: float | None,
    shift: bool = True,
    is_outlier_direction: Callable[[Tensor], Tensor] | None = None,
    keep_pooled: bool = False,
    failures: dict[str, InputError] | None = None,
) -> SideBySide:
    """Run models on the same images.

    Args:
        models: "none", the model as it is, and others by name.
        batches: the images; one pass.
        block: 0-based; norms are taken after it.
        threshold: norm above which a patch is an outlier; None: none is one.
        shift: run "shifted" too, the model as it is on images moved by a pixel.
        is_outlier_direction: whether final features [B, N, C] are those of outliers, bool [B, N].
        keep_pooled: keep the embedding of every image, [N, E] in memory for each model.
        failures: gets, by name, why a model cannot be measured, which is left out then; without,
            and of the model as it is, the error is raised. Not in a distributed job.

    Raises:
        NonFiniteError: norms, features or scores that are NaN or infinite.
    """
    limit = float("inf") if threshold is None else threshold
    runs: dict[str, tuple[nn.Module, Callable[[Tensor], Tensor]]] = {
        name: (model, _unchanged) for name, model in models.items()
    }
    if shift:
        runs[SHIFTED] = (models[NONE], shifted)
    rows: dict[str, list[Tensor]] = {name: [torch.zeros(0, _WIDTH).double()] for name in runs}
    counts = [torch.zeros(0, 2, dtype=torch.float64)]
    pooled: dict[str, list[Tensor]] = {name: [] for name in runs}
    first_batch = None
    for first, batch in numbered_process_batches(batches):
        first_batch = batch if first_batch is None else first_batch
        with naming_images(batches, first):
            seen = _observed(runs, batch, block, failures)
        before = seen[NONE]
        others = before.norms <= limit
        facts = [
            _facts(before, each, others, limit, is_outlier_direction) for each in seen.values()
        ]
        for name, each in zip(seen, torch.stack(facts).cpu(), strict=True):
            rows[name].append(each)
        patches = others.new_full((len(others),), others.shape[1], dtype=torch.float64)
        counts.append(torch.stack([patches, others.sum(dim=1).double()], dim=1).cpu())
        for name, observed in seen.items():
            if keep_pooled and observed.pooled is not None:
                pooled[name].append(observed.pooled.float().cpu())
    all_counts = gather_rows(torch.cat(counts))
    embeddings = {
        name: gather_rows(torch.cat(pooled[name]) if pooled[name] else torch.zeros(0))
        for name in runs
    }
    return SideBySide(
        facts={
            name: ImageNumbers(*gather_rows(torch.cat(rows[name])).unbind(dim=1)) for name in runs
        },
        patches=all_counts[:, 0],
        others=all_counts[:, 1],
        pooled={name: each for name, each in embeddings.items() if len(each)},
        first_batch=first_batch,
    )


_WIDTH = len(ImageNumbers._fields)


class Observation(NamedTuple):
    """One forward pass: norms and final features of the patches, registers' norms, classes, ..."""

    norms: Tensor  # [B, N]
    features: Tensor  # [B, N, C]
    register_norms: Tensor  # [B, R]
    classes: Tensor  # [B], all 0 without a classifier
    pooled: Tensor | None  # [B, E], see `Family.pool`


@torch.no_grad()
def observe(vit: nn.Module, batch: Tensor, block: int) -> Observation:
    """Run a batch once; norms are taken after `block`.

    Args:
        vit: the model, with or without registers.
        batch: [B, 3, H, W].
        block: 0-based.

    Raises:
        NonFiniteError: norms, features or scores that are NaN or infinite.
    """
    final, (tokens,) = forward_with_registers(vit, batch, [block])
    norms, registers = token_norms(tokens.patches), token_norms(tokens.registers)
    family = family_of(vit)
    scores = final.new_zeros(len(batch), 1)
    if family.has_classifier(vit):
        scores = family.classes(vit, final)
    check_finite(
        {
            f"patch norms after block {block}": norms,
            f"register norms after block {block}": registers,
            "final features": token_norms(final),
            "scores of the classes": scores,
        }
    )
    return Observation(
        norms=norms,
        features=final[:, family.num_prefix(vit) :],
        register_norms=registers,
        classes=scores.argmax(dim=1),
        pooled=family.pool(vit, final),
    )


def _unchanged(images: Tensor) -> Tensor:
    return images


def _observed(
    runs: dict[str, tuple[nn.Module, Callable[[Tensor], Tensor]]],
    batch: Tensor,
    block: int,
    failures: dict[str, InputError] | None,
) -> dict[str, Observation]:
    """Run a batch through every model; what fails is taken out of `runs`."""
    seen = {}
    for name, (model, changed) in list(runs.items()):
        found = _observation_or_error(model, changed(batch), block)
        if isinstance(found, Observation):
            seen[name] = found
        elif failures is None or name in (NONE, SHIFTED):
            raise found
        else:
            failures[name] = found
            del runs[name]
    return seen


def _observation_or_error(model: nn.Module, batch: Tensor, block: int) -> Observation | InputError:
    try:
        return observe(model, batch, block)
    except InputError as error:
        return error


def _facts(
    before: Observation,
    after: Observation,
    others: Tensor,
    limit: float,
    is_outlier_direction: Callable[[Tensor], Tensor] | None,
) -> Tensor:
    """The numbers of `ImageNumbers`, [B, 6]."""
    cosine = F.cosine_similarity(before.features.float(), after.features.float(), dim=2)
    along = (
        torch.zeros_like(others)
        if is_outlier_direction is None
        else is_outlier_direction(after.features)
    )
    facts = ImageNumbers(
        outliers=(after.norms > limit).sum(dim=1).double(),
        along=along.sum(dim=1).double(),
        cosines=(cosine * others).double().sum(dim=1),
        changed=(after.classes != before.classes).double(),
        largest=after.norms.amax(dim=1).double(),
        register_norm=after.register_norms.double().mean(dim=1),
    )
    return torch.stack(facts, dim=1)
