"""Fitting the repairs of a benchmark that do not ship for a backbone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from ttr_backbones.app.devices import choose_device
from ttr_backbones.app.progress import ProgressBar, StepBar
from ttr_backbones.app.vit_source import VitSource, vit_with_classifier
from ttr_backbones.benchmark.inputs import combined_hash
from ttr_backbones.errors import InputError
from ttr_backbones.file_hash import file_hash
from ttr_backbones.images.batches import image_batches
from ttr_backbones.images.photos import photo_files
from ttr_backbones.recipes import RecipeName, backbone_facts
from ttr_backbones.repairs import REPAIRS, fit_repair
from ttr_backbones.repairs.from_config import repair_options


class FittedRepairs(NamedTuple):
    """What is to be benchmarked then.

    Attributes:
        kinds: those that ship for all backbones or are files.
        files: backbone -> artifacts of the others.
        left_out: (what, why) of those that could not be fitted.
    """

    kinds: list[str]
    files: dict[str, list[str]]
    left_out: list[tuple[str, str]]


def fit_missing(
    backbones: Mapping[str, Path | None], kinds: Sequence[str], images: Path, out: Path
) -> FittedRepairs:
    """Fit what does not ship, with the defaults of every repair.

    What was fitted to the same weights on the same photographs, by content, is used again.

    Args:
        backbones: name -> file of its weights.
        kinds: of the benchmark.
        images: folder of photographs.
        out: folder of the artifacts, `<backbone>-<hash>/<type>.safetensors`; a timm name with its
            tag, the hash of weights and photographs.
    """
    files: dict[str, list[str]] = {}
    left_out: list[tuple[str, str]] = []
    missing = {
        kind: [name for name in backbones if not _ships(kind, name)]
        for kind in kinds
        if kind in REPAIRS
    }
    folders = _folders(set().union(*missing.values()), backbones, images, out)
    for kind, names in missing.items():
        for name in names:
            path = folders[name] / f"{kind}.safetensors"
            try:
                if not path.is_file():
                    _fit(kind, name, backbones[name], images, path)
            except InputError as error:
                left_out.append((f"{name}, {kind}", str(error)))
            else:
                files.setdefault(name, []).append(str(path))
    return FittedRepairs([kind for kind in kinds if not missing.get(kind)], files, left_out)


def _ships(kind: str, name: str) -> bool:
    try:
        repair_options(backbone_facts(name).backbone.model, REPAIRS[kind].auto())
    except InputError:
        return False
    return True


def _folders(
    names: set[str], backbones: Mapping[str, Path | None], images: Path, out: Path
) -> dict[str, Path]:
    """Backbone -> folder of what is fitted to its weights on the photographs."""
    photographs = [file_hash(file) for file in photo_files(images)] if names else []
    folders = {}
    for name in names:
        weights = backbones[name]
        fitted_to = combined_hash(["hub" if weights is None else file_hash(weights), *photographs])
        folders[name] = out / f"{RecipeName(name, None, '')}-{fitted_to[:8]}"
    return folders


def _fit(kind: str, name: str, weights: Path | None, images: Path, path: Path) -> None:
    backbone = backbone_facts(name).backbone
    source = VitSource(backbone.model, weights, dict(backbone.get("model_kwargs") or {}))
    vit = vit_with_classifier(source).to(choose_device(None))
    bar = ProgressBar()
    try:
        batches = image_batches(images, vit, progress=bar)
        fit_repair(kind, vit, batches, on_step=StepBar(bar.line)).save(path)
    finally:
        bar.close()
