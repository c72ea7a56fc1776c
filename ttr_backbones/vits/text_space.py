"""Patches in the space of texts: the projection that a CLIP applies to the token that it pools."""

from __future__ import annotations

from typing import Any

import timm
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ttr_backbones.errors import InputError
from ttr_backbones.vits.family import family_of


def text_projection(vit: Any) -> nn.Linear:
    """Return the linear layer behind the token that a model pools, whose outputs texts have too.

    Raises:
        InputError: the model was made without it, pools by attention (SigLIP), or has no texts.
    """
    kind = type(vit).__name__
    if getattr(vit, "attn_pool", None) is not None:
        raise InputError(
            f"{kind} pools by attention (as SigLIP and PE core do), and no patch by itself is in "
            "the space of its texts: take a CLIP that pools its CLS token"
        )
    projection = getattr(vit, "visual_projection", None)  # of transformers
    if projection is None:
        projection = getattr(vit, "head", None)
    if not isinstance(projection, nn.Linear) or family_of(vit).has_classifier(vit):
        what = "a classifier" if family_of(vit).has_classifier(vit) else "no projection to texts"
        raise InputError(
            f"{kind} has {what}: open-vocabulary segmentation takes a CLIP with its projection "
            "(model_kwargs=dict(num_classes=WIDTH) where timm does not know the name), or rows of "
            "a classifier in the place of texts"
        )
    return projection


def project_patches(vit: Any, patches: Tensor) -> Tensor:
    """Put patches where the texts of a model are, in float32.

    Args:
        vit: a CLIP.
        patches: after the final norm, [..., C].

    Returns:
        [..., E]; not normalised.

    Raises:
        InputError: see `text_projection`.
    """
    projection = text_projection(vit)
    bias: Tensor | None = getattr(projection, "bias", None)
    return F.linear(
        patches.float(), projection.weight.float(), None if bias is None else bias.float()
    )


def head_width(model: str) -> int | None:
    """Outputs of the head that a timm model was published with; None where timm knows no such name.

    `create_vit` leaves heads out unless `num_classes` asks for one.
    """
    architecture = model.partition(".")[0]
    if ":" in model or not timm.is_model(architecture):
        return None
    cfg = timm.get_pretrained_cfg(model)
    return None if cfg is None else int(cfg.num_classes)


@torch.no_grad()
def embedding_width(vit: Any) -> int:
    """Channels of the embedding that a model makes of an image, see `Family.pool`.

    Raises:
        InputError: the model pools nothing.
    """
    family = family_of(vit)
    weight = family.kernel(vit)
    tokens = weight.new_zeros(1, family.num_prefix(vit) + 1, family.facts(vit).channels)
    pooled = family.pool(vit, tokens)
    if pooled is None:
        raise InputError(
            "this model does not pool its tokens, so that it has no embedding of an image: take "
            "another token, as 'cls', or for texts a CLIP or SigLIP"
        )
    return int(pooled.shape[1])
