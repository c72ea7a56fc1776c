"""`text_vectors`: the vectors of class names in the space of an image model."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from timm.layers import QuickGELU
from timm.models import get_pretrained_cfg

from ttr_backbones.errors import InputError
from ttr_backbones.text_vectors.encode import encode_names
from ttr_backbones.text_vectors.hf_tower import hf_tower
from ttr_backbones.text_vectors.open_clip_tower import tower_from_file, tower_from_folder
from ttr_backbones.text_vectors.text_tower import TextTower
from ttr_backbones.text_vectors.vectors import TextVectors
from ttr_backbones.vits.create import create_vit
from ttr_backbones.vits.family import family_of
from ttr_backbones.vits.hf_files import is_hf_name
from ttr_backbones.vits.neurons import model_name
from ttr_backbones.vits.text_space import embedding_width, head_width
from ttr_backbones.vits.weights_hash import weights_hash


def text_vectors(
    model: str,
    classes: Sequence[Sequence[str]],
    templates: Sequence[str],
    *,
    checkpoint: str | Path | None = None,
    model_kwargs: Mapping[str, Any] | None = None,
    text_tower: str | None = None,
    device: str | torch.device = "cpu",
    batch_size: int = 512,
    progress: Callable[[int, int], object] | None = None,
) -> TextVectors:
    """Make the vectors of class names.

    Args:
        model: of the images, as `create_vit` takes it; its weights are bound to the vectors.
        classes: names of each class, in the order of the labels.
        templates: with `{}` in the place of the name.
        checkpoint: one file of the whole CLIP, for image and text; None for the hub's.
        model_kwargs: more arguments of `timm.create_model`.
        text_tower: `local-dir:DIR` or `hf-hub:OWNER/NAME` of open_clip, if the text is not in
            `checkpoint` or beside the image tower on the hub.
        device: where the text tower runs.
        batch_size: sentences per pass.
        progress: called with the sentences that are done and all.

    Raises:
        MissingFileError: no such file or folder.
        InputError: see `create_vit`, `tower_from_file`, `tower_from_folder`, `hf_tower`; or image
            and text do not end in the same number of channels.
    """
    vit = image_tower(model, checkpoint, model_kwargs)
    tower = tower_of(model, vit, checkpoint=checkpoint, text_tower=text_tower)
    tower.module.to(device)
    names = [name for of_class in classes for name in of_class]
    vectors = encode_names(tower, names, templates, batch_size=batch_size, progress=progress)
    width = embedding_width(vit)
    if width != vectors.shape[1]:
        raise InputError(
            f"images of {model} end in {width} numbers, texts of {tower.source} in "
            f"{vectors.shape[1]}: they are no pair. Give both from one checkpoint"
        )
    return TextVectors(
        classes=tuple(tuple(of_class) for of_class in classes),
        vectors=vectors,
        bias=None,
        templates=tuple(templates),
        model=model_name(vit) or model,
        sha256=weights_hash(vit, with_head=True),
    )


def image_tower(
    model: str, checkpoint: str | Path | None, model_kwargs: Mapping[str, Any] | None = None
) -> Any:
    """Make the image model with the projection, or the classifier, that its weights have.

    Raises:
        InputError: see `create_vit`.
    """
    kwargs = {} if is_hf_name(model) else {"num_classes": head_width(model) or 0}
    kwargs |= model_kwargs or {}
    return create_vit(
        model, pretrained=checkpoint is None, checkpoint=checkpoint, model_kwargs=kwargs
    )


def tower_of(
    model: str,
    vit: Any,
    *,
    checkpoint: str | Path | None = None,
    text_tower: str | None = None,
) -> TextTower:
    """Find the text tower that belongs to an image model; see `text_vectors`."""
    if text_tower is not None:
        return tower_from_folder(text_tower)
    if is_hf_name(model):
        return hf_tower(model)
    if checkpoint is not None:
        family = family_of(vit)
        act = family.mlp(family.blocks(vit)[0]).act
        path = Path(checkpoint).expanduser()
        return tower_from_file(path, quick_gelu=isinstance(act, QuickGELU))
    if model.startswith(("hf-hub:", "local-dir:")):
        return tower_from_folder(model)
    cfg = get_pretrained_cfg(model)
    if cfg is None or not cfg.hf_hub_id:
        raise InputError(f"{model} has no text tower on the hub: give --checkpoint or --text-tower")
    return tower_from_folder(f"hf-hub:{cfg.hf_hub_id}")
