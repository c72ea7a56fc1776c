"""What the repairs of a table do to their models beside the tasks, on photographs."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import nn

from ttr_backbones.app.devices import choose_device
from ttr_backbones.app.vit_source import config_source, vit_with_classifier
from ttr_backbones.compare.plan import Cell
from ttr_backbones.compare.repair_names import TRAINED, repair_label
from ttr_backbones.errors import InputError
from ttr_backbones.images.batches import ImageBatches, Progress, image_batches
from ttr_backbones.repairs.effects import NONE as AS_IT_IS
from ttr_backbones.repairs.effects import Effect, measure_effects
from ttr_backbones.repairs.fit_facts import NOTHING, FitFacts, fit_facts
from ttr_backbones.repairs.from_config import ConfiguredRepair, repair_options

MOST_IMAGES = 64


@dataclass(frozen=True)
class SideEffect:
    """What one repair does to one backbone.

    Args:
        effect: on the photographs; None where it could not be measured, which a note explains.
        fit: what making it took.
    """

    effect: Effect | None
    fit: FitFacts | None


SideEffects = dict[tuple[str, str], SideEffect]
"""(label of the backbone, repair) -> what it does."""


def measure_side_effects(
    cells: Sequence[Cell], folder: Path, progress: Progress | None = None
) -> tuple[SideEffects, list[str]]:
    """Measure every repair of every backbone of a plan, side by side in one run.

    Args:
        cells: of the plan.
        folder: photographs, of which at most 64 are taken, spread evenly.
        progress: called with (images done, images in all or None) after every batch.

    Returns:
        The numbers, and notes about where they are from and what could not be measured.

    Raises:
        MissingFileError: no such folder.
        InputError: images that cannot be used.
    """
    kinds: dict[str, dict[str, Any]] = {}
    for cell in cells:
        kinds.setdefault(cell.row.backbone, {}).setdefault(cell.row.repair, cell.cfg.model.backbone)
    found: SideEffects = {}
    notes: list[str] = []
    for title, of_kinds in kinds.items():
        _try_backbone(title, of_kinds, folder, progress, found, notes)
    return found, notes


def _try_backbone(title: str, kinds: Mapping[str, Any], *rest: Any) -> None:
    """Measure a backbone; one that cannot be measured must not cost the others."""
    try:
        _of_backbone(title, kinds, *rest)
    except InputError as error:
        rest[-1].append(f"{title}: side effects could not be measured: {error}")


def _of_backbone(
    title: str,
    kinds: Mapping[str, Any],
    folder: Path,
    progress: Progress | None,
    found: SideEffects,
    notes: list[str],
) -> None:
    repaired = {kind: backbone for kind, backbone in kinds.items() if kind != TRAINED}
    choices: dict[str, ConfiguredRepair] = {}
    for kind, backbone in repaired.items():
        choice = repair_options(backbone["model"], backbone.get("repair"))
        if choice is not None:
            choices[kind] = choice
    if repaired:
        vit, images = _model_and_images(next(iter(repaired.values())), folder, progress)
        columns, where = _columns(title, vit, choices, images, notes)
        notes.append(f"{title}: side effects on {where}")
        for kind in repaired:
            choice = choices.get(kind)
            fit = NOTHING if choice is None else fit_facts(choice.artifact)
            found[title, kind] = SideEffect(columns.get(kind if choice else AS_IT_IS), fit)
    if TRAINED in kinds:
        vit, images = _model_and_images(kinds[TRAINED], folder, progress)
        alone = measure_effects(vit, {}, images, rounds=0).columns[AS_IT_IS]
        effect = dataclasses.replace(
            alone, cosine=None, top1_agreement=None, neighbours=None, run_time=None
        )
        found[title, TRAINED] = SideEffect(effect, None)
        notes.append(
            f"{title}, {repair_label(TRAINED)}: another model, so nothing of it is compared with "
            "the features of the first, and its training is not known"
        )


def _columns(
    title: str,
    vit: nn.Module,
    choices: Mapping[str, ConfiguredRepair],
    images: ImageBatches,
    notes: list[str],
) -> tuple[dict[str, Effect], str]:
    """All side by side; a repair that fails is left out with a note."""
    failures: dict[str, InputError] = {}
    artifacts = {kind: choice.artifact for kind, choice in choices.items()}
    options = {kind: choice.options for kind, choice in choices.items()}
    seen = measure_effects(vit, artifacts, images, options=options, failures=failures)
    notes += [
        f"{title}, {kind}: side effects could not be measured: {error}"
        for kind, error in failures.items()
    ]
    where = f"{seen.num_images} photographs of {seen.size[1]} x {seen.size[0]} px"
    if seen.threshold is None:
        return seen.columns, f"{where}; {seen.no_outliers}"
    return seen.columns, (
        f"{where}; an outlier has a norm above {seen.threshold:.1f} after block "
        f"{seen.detect_block}, or final features within 46 degrees of those of the outliers; "
        f"images shifted by one pixel: cosine {seen.columns['shifted'].cosine or 0:.3f}"
    )


def _model_and_images(
    backbone: Any, folder: Path, progress: Progress | None
) -> tuple[nn.Module, ImageBatches]:
    vit = vit_with_classifier(config_source(backbone)).to(choose_device(None))
    return vit, image_batches(folder, vit, num_images=MOST_IMAGES, progress=progress)
