"""What a protocol has to know of a backbone that no file describes: timm knows it."""

from __future__ import annotations

from typing import Any

from mmengine.config import ConfigDict

from ttr_backbones.errors import InputError

_LARGE = {24: (4, 11, 17, 23)}  # DINOv2's ViT-L heads read these, and not every sixth block


def timm_facts(name: str) -> ConfigDict:
    """Return `backbone` and `facts` of a timm model, as a file in `configs/backbones` has them.

    timm makes the model without memory for its weights. The final norm is applied to every block,
    as in DINOv2 and by default in `TimmViT`, if the model has one for tokens. LOST takes keys, as
    published for self-supervised models, or the values where the weights came with a classifier or
    a projection to text, as Darcet et al. do for supervised models and CLIP.

    Raises:
        InputError: timm cannot make it, or it is no Vision Transformer.
    """
    import timm
    import torch
    from timm.models.eva import Eva
    from timm.models.vision_transformer import VisionTransformer

    try:
        with torch.device("meta"):
            vit: Any = timm.create_model(name, pretrained=False)
    except (RuntimeError, ValueError, OSError) as error:
        raise InputError(f"backbone {name}: timm cannot make this model: {error}") from error
    depth = len(getattr(vit, "blocks", ()))
    if not isinstance(vit, VisionTransformer | Eva) or depth < 4:
        raise InputError(
            f"backbone {name}: expected a timm VisionTransformer or Eva with at least four "
            f"blocks, got {type(vit).__name__} with {depth}"
        )
    cfg = vit.pretrained_cfg
    quarters = tuple(depth * quarter // 4 - 1 for quarter in (1, 2, 3, 4))
    backbone = {"type": "TimmViT", "model": name, "pretrained": True, "frozen": True}
    if isinstance(vit.norm, torch.nn.Identity):
        backbone["final_norm"] = False
    return ConfigDict(
        backbone=backbone,
        facts={
            "title": name,
            "channels": vit.embed_dim,
            "four_blocks": _LARGE.get(depth, quarters),
            "facet": "value" if cfg["num_classes"] else "key",
            "mean": [255 * value for value in cfg["mean"]],
            "std": [255 * value for value in cfg["std"]],
        },
    )
