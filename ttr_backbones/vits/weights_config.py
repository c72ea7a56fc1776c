"""Checks a model by the config beside its weights: heads and activation, unknown from tensors."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from timm.layers import QuickGELU
from torch import nn

from ttr_backbones.vits.family import family_of

# A folder of downloads may hold any config.json: it goes with these names only.
_CONFIGS = {"model": "config.json", "pytorch_model": "config.json"}
_CONFIGS |= dict.fromkeys(("open_clip_model", "open_clip_pytorch_model"), "open_clip_config.json")


def config_mismatch(vit: nn.Module, path: Path, model: str) -> str | None:
    """Compare `vit` with the config of transformers or open_clip that lies beside its weights.

    Args:
        vit: the model.
        path: of the weight file.
        model: its name, for the message.

    Returns:
        The difference; None if there is none, or no such config.
    """
    declared = _declared(path)
    family = family_of(vit)
    block = family.blocks(vit)[0]
    quick, act = declared.get("quick_gelu"), family.mlp(block).act
    if quick is not None and quick != isinstance(act, QuickGELU):
        return (
            f"the {_CONFIGS[path.stem]} beside it says {'QuickGELU' if quick else 'GELU'}, and "
            f"{model} has {type(act).__name__}, which gives wrong features. Use the architecture "
            f"{'with' if quick else 'without'} `quickgelu` in its name"
        )
    heads = family.head_shape(block)[0]
    if declared.get("heads", heads) != heads:
        return (
            f"the {_CONFIGS[path.stem]} beside it says {declared['heads']} heads, and {model} has "
            f"{heads}: it is another architecture"
        )
    return None


def _declared(path: Path) -> dict[str, Any]:
    """{"quick_gelu": bool, "heads": int}, as far as it is said."""
    beside = path.parent / _CONFIGS.get(path.stem, "")
    try:
        config = json.loads(beside.read_bytes()) if beside.is_file() else {}
    except ValueError:
        return {}
    if not isinstance(config, Mapping):
        return {}
    if isinstance(config.get("model_cfg"), Mapping):
        return {"quick_gelu": bool(config["model_cfg"].get("quick_gelu", False))}
    if "model_type" not in config:
        return {}  # timm's own
    vision = config.get("vision_config")
    vision = vision if isinstance(vision, Mapping) else config
    found: dict[str, Any] = {}
    act = vision.get("hidden_act", "quick_gelu" if "clip" in config["model_type"] else None)
    if act is not None:
        found["quick_gelu"] = act == "quick_gelu"
    if "num_attention_heads" in vision:
        found["heads"] = vision["num_attention_heads"]
    return found
