"""One optimizer with a group for every head, whose gradient is clipped by itself."""

from __future__ import annotations

from typing import Any

from mmengine.optim import OptimWrapper
from mmseg.registry import OPTIM_WRAPPER_CONSTRUCTORS, OPTIM_WRAPPERS, OPTIMIZERS
from torch import nn

from ttr_backbones.engine.unwrap import unwrapped


@OPTIM_WRAPPERS.register_module()
class ProbeOptimWrapper(OptimWrapper):
    """mmengine's OptimWrapper, but for clipping: every group of parameters has its own norm."""

    def _clip_grad(self) -> None:
        for group in self.optimizer.param_groups:
            trained = [p for p in group["params"] if p.requires_grad and p.grad is not None]
            if trained:
                self.clip_func(trained, **self.clip_grad_kwargs)


@OPTIM_WRAPPER_CONSTRUCTORS.register_module()
class ProbeOptimWrapperConstructor:
    """Builds an optimizer whose group number i holds head number i.

    Schedules of mmengine act on every group by its own initial rate, so each head has its own.

    Args:
        optim_wrapper_cfg: as for mmengine's constructor, and `lrs`, the learning rate of each head.
        paramwise_cfg: None; the groups are the heads.
    """

    def __init__(self, optim_wrapper_cfg: dict[str, Any], paramwise_cfg: Any = None) -> None:
        del paramwise_cfg
        self.cfg = dict(optim_wrapper_cfg)
        self.lrs = self.cfg.pop("lrs")
        self.optimizer_cfg = dict(self.cfg.pop("optimizer"))

    def __call__(self, model: nn.Module) -> OptimWrapper:
        """Build the optimizer wrapper of a model with `ProbeHeads`."""
        heads: Any = unwrapped(model).decode_head
        groups = [
            {"params": [p for p in head.parameters() if p.requires_grad], "lr": lr}
            for head, lr in zip(heads.heads, self.lrs, strict=True)
        ]
        optimizer = OPTIMIZERS.build({**self.optimizer_cfg, "params": groups})
        return OPTIM_WRAPPERS.build(self.cfg, default_args={"optimizer": optimizer})
