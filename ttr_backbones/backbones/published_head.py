"""`with_published_head`: a backbone with what its weights have behind the pooled token."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ttr_backbones.vits.text_space import head_width


def with_published_head(backbone: Mapping[str, Any]) -> dict[str, Any]:
    """Return the config of a `TimmViT` that has its projection to texts, or its classifier.

    `create_vit` leaves both out, so that a CLIP's embedding would be its CLS token. `num_classes`
    among the config's `model_kwargs` holds, and a name that timm does not know stays as it is.
    """
    config = dict(backbone)
    width = head_width(str(config.get("model")))
    if width:
        config["model_kwargs"] = {"num_classes": width, **(config.get("model_kwargs") or {})}
    return config
