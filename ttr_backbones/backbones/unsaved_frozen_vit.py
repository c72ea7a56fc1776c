"""Checkpoints and a frozen ViT: none is written of it, and none changes it."""

from __future__ import annotations

from typing import Any

from mmengine.model import BaseModule


class UnsavedFrozenVit(BaseModule):
    """A module that keeps the weights of its `vit` to itself while it is frozen.

    They are a file already, which the config names. So no checkpoint holds them, and those of a
    checkpoint that does (of a fine-tuned model, or written by another program) are left aside,
    whoever loads it, whatever their shapes. With `frozen=False` they are saved and loaded.

    Attributes:
        vit: the ViT.
        frozen: whether it is.
    """

    vit: Any
    frozen: bool

    def __init__(self, init_cfg: Any = None) -> None:
        super().__init__(init_cfg)
        self.register_load_state_dict_post_hook(_forgive_missing)

    def state_dict(self, *args: Any, **kwargs: Any) -> dict[str, Any]:
        """Leave a frozen ViT out."""
        state: dict[str, Any] = super().state_dict(*args, **kwargs)
        if self.frozen:
            _remove(state, f"{kwargs.get('prefix', '')}vit.")
        return state

    def _load_from_state_dict(self, state_dict: dict[str, Any], prefix: str, *args: Any) -> None:
        """Let a frozen ViT, whose modules are loaded after this, find nothing to load."""
        if self.frozen:
            _remove(state_dict, prefix)
        super()._load_from_state_dict(state_dict, prefix, *args)


def _remove(state: dict[str, Any], prefix: str) -> None:
    for name in [name for name in state if name.startswith(prefix)]:
        del state[name]


def _forgive_missing(module: Any, incompatible: Any) -> None:
    """Do not miss a frozen ViT in a checkpoint."""
    if module.frozen:
        held = {f"vit.{key}" for key in module.vit.state_dict()}
        missing = incompatible.missing_keys
        missing[:] = [key for key in missing if not any(key.endswith(name) for name in held)]
