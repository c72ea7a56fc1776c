"""Stopping a training run whose loss or weights are no numbers any more."""

from __future__ import annotations

import math
from typing import Any

import torch
from mmengine.hooks import Hook
from mmseg.registry import HOOKS

from ttr_backbones.errors import InputError

_ADVICE = (
    "Lower optim_wrapper.optimizer.lr, clip gradients (optim_wrapper.clip_grad.max_norm=1), "
    "train without --amp or with optim_wrapper.dtype=bfloat16, and check that the images are "
    "normalised for the backbone."
)


@HOOKS.register_module()
class StopOnNaN(Hook):
    """Stops at the first loss that is not finite, and never lets a broken checkpoint be written.

    The loss is read where mmengine has logged it, so the device is not asked once more.
    """

    def after_train_iter(self, runner: Any, *args: Any, **kwargs: Any) -> None:  # noqa: ARG002
        """Look at the loss that RuntimeInfoHook, which runs first, has recorded."""
        loss = runner.message_hub.get_scalar("train/loss").current()
        if not math.isfinite(loss):
            rates = ", ".join(
                f"{name}={values[0]:.3g}" for name, values in runner.optim_wrapper.get_lr().items()
            )
            raise InputError(
                f"the loss is {loss} at iteration {runner.iter + 1} ({rates}); training stopped. "
                f"{_ADVICE} The checkpoints written before are intact."
            )

    def before_save_checkpoint(self, runner: Any, checkpoint: dict[str, Any]) -> None:
        """Refuse to save weights that are not finite."""
        broken = [
            name
            for name, tensor in checkpoint["state_dict"].items()
            if tensor.is_floating_point() and not torch.isfinite(tensor).all()
        ]
        if broken:
            raise InputError(
                f"{', '.join(broken[:3])} is not finite after iteration {runner.iter + 1}; no "
                f"checkpoint was written and training stopped. {_ADVICE}"
            )
