"""The description inside an exported file: what it is, made of what, and by what."""

from __future__ import annotations

import json
from pathlib import Path

import timm
import torch

import ttr_backbones
from ttr_backbones.backbones.description import description
from ttr_backbones.export.exportable import Exportable
from ttr_backbones.export.graph import Size
from ttr_backbones.file_hash import file_hash

_MAPS = (
    "map_0, map_1, ...: float32 [B, C, h, w] each: features of the patches, one map per block taken"
)


def about(exportable: Exportable, size: Size | None, batch: int | None) -> dict[str, str]:
    """Describe an exported file, flat, as ONNX stores it; what is no text is JSON."""
    sides = "any H and W from three patches on" if size is None else "H, W = {}, {}".format(*size)
    backbone = exportable.backbone
    output = exportable.output
    facts = {
        "made_by": f"ttr_backbones {ttr_backbones.__version__}",
        "versions": {"torch": str(torch.__version__), "timm": timm.__version__},
        "source": exportable.name,
        "input": f"image: float32 [{batch or 'B'}, 3, H, W], RGB on the scale 0..255, {sides}; "
        "normalised and padded inside",
        "output": _MAPS if output is None else f"{output.name}: {output.meaning}",
        "mean": exportable.images.mean.flatten().tolist(),
        "std": exportable.images.std.flatten().tolist(),
        **description(backbone),
        "blocks": list(backbone.out_indices),
        "facet": backbone.facet,
        "final_norm": backbone.final_norm,
    }
    if exportable.classes:
        facts["classes"] = list(exportable.classes)
    if exportable.besides is not None:
        facts["not_inside"] = f"what `ttrb test` does besides: {exportable.besides}"
    if exportable.checkpoint is not None:
        facts["checkpoint"] = Path(exportable.checkpoint).name
        facts |= _hash(exportable.checkpoint)
    return {k: v if isinstance(v, str) else json.dumps(v) for k, v in facts.items()}


def _hash(checkpoint: str | Path) -> dict[str, str]:
    path = Path(checkpoint).expanduser()
    if not path.is_file():  # a URL
        return {}
    return {"checkpoint_sha256": file_hash(path)}
