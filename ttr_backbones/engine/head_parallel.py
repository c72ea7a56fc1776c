"""Distributed training of the head: what is frozen costs no communication."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from mmengine.model import MMDistributedDataParallel
from mmengine.registry import MODEL_WRAPPERS
from torch import nn


@MODEL_WRAPPERS.register_module()
class HeadDistributedDataParallel(MMDistributedDataParallel):
    """mmengine's wrapper for what is trained, on GPUs and on CPUs.

    What is frozen is neither broadcast nor reduced: every process has loaded it. A model without
    anything to train, which torch's wrapper refuses, is given back as it is.

    Args:
        module: the model, on its device.
        device_ids: mmengine's Runner gives the local rank; a model on the CPU takes none.
        **kwargs: as for torch's DistributedDataParallel.
    """

    def __new__(cls, module: nn.Module, *args: Any, **kwargs: Any) -> Any:  # noqa: ARG004
        """Return `module` itself if nothing in it is trained."""
        return super().__new__(cls) if _is_trained(module) else module

    def __init__(
        self, module: nn.Module, device_ids: Sequence[int] | None = None, **kwargs: Any
    ) -> None:
        self._set_params_and_buffers_to_ignore_for_model(module, list(_frozen(module)))
        on_cpu = next(module.parameters()).device.type == "cpu"
        super().__init__(module, device_ids=None if on_cpu else device_ids, **kwargs)


def _is_trained(module: nn.Module) -> bool:
    return any(parameter.requires_grad for parameter in module.parameters())


def _frozen(model: nn.Module) -> Iterator[str]:
    """Names of frozen parameters, and of the buffers of modules that have no others."""
    yield from (name for name, weight in model.named_parameters() if not weight.requires_grad)
    for prefix, part in model.named_modules():
        if any(True for _ in part.parameters()) and not _is_trained(part):
            yield from (f"{prefix}.{name}" for name, _ in part.named_buffers())
