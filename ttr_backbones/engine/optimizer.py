"""An optimizer over what is trained, and nothing else."""

from __future__ import annotations

from typing import Any

from mmengine.optim import DefaultOptimWrapperConstructor, OptimWrapper
from mmseg.registry import OPTIM_WRAPPER_CONSTRUCTORS
from torch import nn

from ttr_backbones.errors import InputError


@OPTIM_WRAPPER_CONSTRUCTORS.register_module()
class TrainableOptimWrapperConstructor(DefaultOptimWrapperConstructor):
    """mmengine's constructor, `paramwise_cfg` included, without the frozen parameters."""

    def __call__(self, model: nn.Module) -> OptimWrapper:
        """Build the optimizer wrapper of `model`."""
        model = getattr(model, "module", model)
        trainable = [parameter for parameter in model.parameters() if parameter.requires_grad]
        if not trainable:
            raise InputError(
                "the model has no trainable parameter: expected at least those of the head. Leave "
                "decode_head trainable or set model.backbone.frozen=False."
            )
        # Without paramwise options mmengine asks the model for nothing but its parameters().
        return super().__call__(model if self.paramwise_cfg else nn.ParameterList(trainable))

    def add_params(
        self, params: list[dict[str, Any]], module: nn.Module, *args: Any, **kwargs: Any
    ) -> None:
        """Pass over frozen subtrees, of which mmengine would report every single parameter."""
        if any(parameter.requires_grad for parameter in module.parameters()):
            super().add_params(params, module, *args, **kwargs)
