"""Cells that are bound to the content of the files that they read, wherever these lie."""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path

from mmengine.config import Config

from ttr_backbones.benchmark.inputs import DataFacts, combined_hash, files_of_model
from ttr_backbones.compare.fingerprint import fingerprint
from ttr_backbones.compare.plan import Cell
from ttr_backbones.compare.repair_names import TRAINED
from ttr_backbones.file_hash import file_hash
from ttr_backbones.recipes import trained_siblings
from ttr_backbones.tasks import task_of


def bind_cell(
    cell: Cell,
    backbone: str,
    files: Mapping[str, Path | None],
    hashes: Mapping[str, str | None],
    *,
    data: Sequence[DataFacts],
    folder: Path,
) -> Cell:
    """Return the cell with a fingerprint of contents, and a folder that is named by it.

    What is stored of single images counts too: of another version it would be read wrong.

    Args:
        cell: of `make_plan`, with the weights of `backbone` in its config.
        backbone: of its experiment; a line "trained" gets the weights of the one with registers.
        files: backbone -> file of its weights, None or absent for the hub's.
        hashes: backbone -> SHA-256 of that file.
        data: the data sets.
        folder: that of all data, whose name does not count.
    """
    cfg, name, weights = copy.deepcopy(cell.cfg), backbone, None
    if cell.row.repair == TRAINED:
        name = trained_siblings(backbone)[-1]
        _use_other_weights(cfg, files[backbone], files.get(name))
    file, checkpoint = files.get(name), cfg.model.backbone.get("checkpoint")
    if file is not None and str(checkpoint) == str(file):
        weights = hashes[name]
    others = files_of_model(cfg)
    if weights is None and checkpoint is not None and Path(checkpoint).is_file():
        others.append(Path(checkpoint))
    inputs = [*(facts.sha256 for facts in data), weights or "hub", *map(file_hash, others)]
    parts = task_of(cfg).image_parts
    layout = "" if parts is None else parts.layout
    of_config = fingerprint(cfg, tta=cell.tta, data=folder, weights=weights)
    mark = combined_hash([of_config, *inputs, layout])
    prefix = cell.folder.name.partition("-")[0]
    cfg.work_dir = str(cell.folder.with_name(f"{prefix}-{mark[:8]}"))
    return dataclasses.replace(cell, cfg=cfg, fingerprint=mark)


def _use_other_weights(cfg: Config, file: Path | None, other: Path | None) -> None:
    """Replace the weights `file` by `other`, None is the hub; what the user's options say stays."""
    backbone = cfg.model.backbone
    if file == other or backbone.get("checkpoint") != (None if file is None else str(file)):
        return
    backbone.pop("checkpoint", None)
    backbone.pretrained = other is None
    if other is not None:
        backbone.checkpoint = str(other)
