"""From a model to torch's graph of it."""

from __future__ import annotations

import torch
from torch.export import Dim, ExportedProgram

from ttr_backbones.errors import InputError
from ttr_backbones.export.exportable import Exportable
from ttr_backbones.export.graph import ModelGraph, Size

_TRACED = 2  # images, where any number may come: torch takes a 1 for a constant


def trace(
    exportable: Exportable, *, size: Size | None, batch: int | None = None
) -> ExportedProgram:
    """Trace the graph of `exportable`, whole: a part that stays in Python is an error.

    Args:
        exportable: what to export.
        size: (H, W) of all images; None for any.
        batch: number of images; None for any.

    Raises:
        InputError: a size that the model cannot take, or a part that cannot be traced.
    """
    if size is None and exportable.backbone.pad is None:
        raise InputError(
            "--dynamic with pad=None: a size that is no multiple of the patch would lose its last "
            "pixels without a word. Set --cfg-options model.backbone.pad=corner (which changes "
            "nothing for multiples), or give one --size H W"
        )
    graph = ModelGraph(exportable, size)
    dims = {0: batch is None, 2: size is None, 3: size is None}
    free = {dim: Dim.DYNAMIC for dim, is_free in dims.items() if is_free}
    image = torch.zeros(batch or _TRACED, 3, *(size or _example_size(exportable)))
    try:
        with torch.no_grad():
            program = torch.export.export(
                graph, (image,), dynamic_shapes={"image": free}, strict=True
            )
    except Exception as error:
        reason = str(error).strip().partition("\n")[0]
        raise InputError(
            f"torch.export cannot trace {type(exportable.model).__name__} whole: {reason}"
            + (" Fewer models fail with one --size H W." if size is None else "")
        ) from error
    for node in program.graph.nodes:
        node.meta.pop("stack_trace", None)  # names files of this machine
    return program


def _example_size(exportable: Exportable) -> Size:
    """A size to trace: sides that differ from each other, and are no multiples of anything."""
    height, width = exportable.backbone.patch_size
    return 3 * height + 5, 5 * width + 3
