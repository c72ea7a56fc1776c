"""Whether images come as fast as the backbone takes them."""

from __future__ import annotations

import argparse

from gpu_steps.rows import tell_rows
from gpu_steps.step import Check
from ttr_backbones.cli.bench_parts import data

_CONFIG = "dinov2_vitb14_linear_ade20k"


def run(check: Check) -> None:
    """Time the loader of a config on drawn images in ADE20K's layout."""
    args = argparse.Namespace(
        config=_CONFIG,
        data_root=None,
        cfg_options=_tiny(check) if check.scale.model_kwargs else None,
        workers=check.scale.workers,
        rounds=min(check.scale.rounds, 3),
    )
    measured = data(args, check.device, print)
    tell_rows(check, measured.rows, f"{_CONFIG}, drawn images")
    for note in measured.notes:
        check.tell("loader", note.removeprefix("data: "))


def _tiny(check: Check) -> list[str]:
    return [
        f"model.backbone.model={check.scale.base}",
        *(f"model.backbone.model_kwargs.{k}={v}" for k, v in check.scale.model_kwargs.items()),
        "model.backbone.out_indices=(-1,)",
    ]
