"""Batch norm over the images of all processes, on GPUs and on CPUs."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, distributed, nn

from ttr_backbones.errors import InputError


def batch_norm(channels: int) -> nn.Module:
    """Make the batch norm of this job: synchronised if the job is distributed."""
    if not (distributed.is_available() and distributed.is_initialized()):
        return nn.BatchNorm2d(channels)
    if torch.cuda.is_available():
        return nn.SyncBatchNorm(channels)
    return SharedBatchNorm(channels)


def check_values(x: Tensor) -> None:
    """Refuse maps [B, C, h, w] that leave the batch norm of one process nothing to normalise.

    Raises:
        InputError: one image whose map is one patch.
    """
    alone = not (distributed.is_available() and distributed.is_initialized())
    if alone and x.shape[0] * x.shape[2] * x.shape[3] == 1:
        _refuse_single_value()


def _refuse_single_value() -> None:
    raise InputError(
        "training got one image whose map is 1 x 1 patch, and batch norm needs more than one value "
        "per channel: expected a larger crop (crop_size in the config, the patch at least twice) "
        "or batch_size=2 or more in train_dataloader"
    )


class SharedBatchNorm(nn.BatchNorm2d):
    """`nn.SyncBatchNorm` for CPUs, which that one refuses: the same names, numbers and gradients.

    Processes may hold different numbers of images.

    Args:
        channels: channels C of the maps.
    """

    # torch types them for batch norms that do not track, which this one does.
    running_mean: Any
    running_var: Any
    num_batches_tracked: Any
    momentum: Any

    def __init__(self, channels: int) -> None:
        super().__init__(channels)

    def forward(self, x: Tensor) -> Tensor:
        """[B, C, h, w] -> the same, with zero mean and unit variance over all processes."""
        if not self.training:
            return super().forward(x)
        axes = (0, 2, 3)
        count = _sum_over_processes(x.new_tensor(x.numel() / x.shape[1]))
        if count <= 1:
            _refuse_single_value()
        mean = _sum_over_processes(x.sum(axes)) / count
        centred = x - mean.view(-1, 1, 1)
        variance = _sum_over_processes(centred.square().sum(axes)) / count
        self._track(mean.detach(), variance.detach() * count / (count - 1))
        scale = self.weight * (variance + self.eps).rsqrt()
        return centred * scale.view(-1, 1, 1) + self.bias.view(-1, 1, 1)

    def _track(self, mean: Tensor, unbiased_variance: Tensor) -> None:
        self.num_batches_tracked += 1
        self.running_mean.lerp_(mean, self.momentum)
        self.running_var.lerp_(unbiased_variance, self.momentum)


class _SumOverProcesses(torch.autograd.Function):
    """Every process's input has a part in every process's output, hence the sum of gradients."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:  # noqa: ARG004
        total = x.clone(memory_format=torch.contiguous_format)
        distributed.all_reduce(total)
        return total

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:  # noqa: ARG004
        return _sum_over_processes(gradient)


def _sum_over_processes(x: Tensor) -> Tensor:
    total: Tensor = _SumOverProcesses.apply(x)
    return total
