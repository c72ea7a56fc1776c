"""What a test-time register does to a real model, in one picture: `ttrb demo --model`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from ttr_backbones.atomic import writing_atomically
from ttr_backbones.backbones import create_vit
from ttr_backbones.images.batches import image_batches
from ttr_backbones.images.photos import photo_files
from ttr_backbones.neuron_search.provenance import differences
from ttr_backbones.registers import RegisterNeurons
from ttr_backbones.report.figures.overview import draw_overview
from ttr_backbones.report.pca import pca_maps
from ttr_backbones.report.show import as_shown, heading, inspect_columns
from ttr_backbones.report.summary import summarize
from ttr_backbones.vits.family import family_of


def compare_artifacts(
    model: str,
    images: str | Path,
    neurons: str | Path | None,
    out: str | Path,
    *,
    checkpoint: str | Path | None = None,
    size: int | None = None,
    num_images: int = 6,
    device: str | None = None,
) -> tuple[dict[str, Any], Path]:
    """Compare a model with and without a test-time register on photographs.

    Args:
        model: tagged timm name.
        images: folder of photographs; the first `num_images` are used, their central squares.
        neurons: JSON list; by default the list that ships for `model`.
        out: folder for the picture.
        checkpoint: local weight file; by default the weights come from the hub.
        size: side of the input in pixels; by default the one that the model was trained at.
        num_images: how many photographs.
        device: torch device; by default the GPU if there is one.

    Returns:
        What `summarize` says, with the `doubts` about the list, and the path of the picture.
    """
    files = photo_files(images)[:num_images]
    chosen = RegisterNeurons.load(neurons) if neurons else RegisterNeurons.bundled(model)
    vit = create_vit(model, pretrained=checkpoint is None, checkpoint=checkpoint)
    vit.to(device or ("cuda" if torch.cuda.is_available() else "cpu"))
    squares = torch.cat(list(image_batches(files, vit, size=size)))
    inspections = inspect_columns(vit, squares, neurons=chosen)
    summary = summarize(
        inspections,
        model=model,
        size=(squares.shape[2], squares.shape[3]),
        images=[file.name for file in files],
        neurons=chosen,
    )
    doubt = chosen.provenance.get("doubt")
    summary["doubts"] = [f"the register neurons of {chosen.model}: {doubt}"] if doubt else []
    summary["doubts"] += differences(chosen, vit, max(squares.shape[2:]))
    path = Path(out) / "artifacts.png"
    figure = draw_overview(
        inspections,
        as_shown(squares, family_of(vit).facts(vit)),
        pca_maps(inspections),
        block=summary["block"],
        title=f"{heading(summary)}\n{summary['verdict']}",
    )
    with writing_atomically(path) as partial:
        figure.savefig(partial, format="png")
    return summary, path
