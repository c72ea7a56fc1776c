"""What repairs do to a model, side by side on the same images: outliers, side effects, cost."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from ttr_backbones.errors import InputError
from ttr_backbones.images.batches import ImageBatches, Progress, image_batches
from ttr_backbones.images.finite import naming_images
from ttr_backbones.images.processes import add_up, numbered_process_batches
from ttr_backbones.neuron_search.onset import Onset, find_onset
from ttr_backbones.neuron_search.search import NoOutliersError
from ttr_backbones.neuron_search.side_by_side import (
    NONE,
    SHIFTED,
    SideBySide,
    observe,
    side_by_side,
)
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

__all__ = ["NONE", "SHIFTED", "Effect", "Effects", "measure_effects"]


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
    failures: dict[str, InputError] | None = None,
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
        failures: gets, by name, why a repair cannot be measured, which is left out then; without,
            the first such error is raised. Not in a distributed job.

    Raises:
        InputError: an artifact of another model; images that cannot be used.
    """
    check_plain(vit)
    batches = image_batches(images, vit, batch_size=batch_size, progress=progress)
    batches.require_reiterable("finding the threshold")
    models: dict[str, nn.Module] = {NONE: vit}
    with restored_eval(vit):
        for name, artifact in artifacts.items():
            repaired = _repaired(vit, artifact, (options or {}).get(name, {}))
            if isinstance(repaired, nn.Module):
                models[name] = repaired
            elif failures is None:
                raise repaired
            else:
                failures[name] = repaired
        onset, why = _onset(vit, batches)
        direction = None if onset is None else _direction(vit, batches, onset)
        depth = len(family_of(vit).blocks(vit))
        block, threshold = (onset.detect, onset.threshold) if onset else (depth - 1, None)
        rows = side_by_side(
            models,
            batches,
            block=block,
            threshold=threshold,
            is_outlier_direction=None if direction is None else direction.is_outlier_direction,
            keep_pooled=True,
            failures=failures,
        )
        models = {name: model for name, model in models.items() if name in rows.facts}
        ratios = {}
        if rows.first_batch is not None and rounds:
            ratios = run_time_ratios(models, rows.first_batch, rounds=rounds)
        classes = family_of(vit).has_classifier(vit)
        columns = {
            name: _effect(rows, name, models.get(name, vit), ratios.get(name), classes=classes)
            for name in rows.facts
        }
    if onset is None:
        columns = {name: replace(each, outliers=None) for name, each in columns.items()}
    if direction is None:
        columns = {name: replace(each, along=None) for name, each in columns.items()}
    return Effects(
        num_images=len(rows.patches),
        size=batches.size or (0, 0),
        detect_block=block,
        threshold=threshold,
        no_outliers=why,
        columns=columns,
    )


def _repaired(
    vit: nn.Module, artifact: Artifact, options: Mapping[str, Any]
) -> nn.Module | InputError:
    try:
        return apply_repair(sharing_copy(vit), artifact, **options)
    except InputError as error:
        return error


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


def _effect(
    rows: SideBySide, name: str, model: nn.Module, run_time: float | None, *, classes: bool
) -> Effect:
    facts, pooled = rows.facts[name], rows.pooled
    repair = repair_of(model)
    return Effect(
        outliers=rows.share(facts.outliers),
        along=rows.share(facts.along),
        largest=facts.largest.max().item(),
        cosine=rows.cosine(name),
        top1_agreement=1 - facts.changed.mean().item() if classes else None,
        neighbours=neighbour_agreement(pooled[NONE], pooled[name]) if name in pooled else None,
        tokens_added=0 if repair is None else repair.tokens_added(model),
        run_time=run_time,
        image_costs=rows.image_costs(name),
    )
