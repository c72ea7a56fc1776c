"""`SeededInit`: a head's first weights depend on a seed and on nothing else."""

from __future__ import annotations

import copy

import torch
from mmcv.cnn import ConvModule
from mmengine.model import BaseModule
from torch import nn


class SeededInit(BaseModule):
    """Mixin of heads; put it before the head's other base.

    `init_weights`, which mmengine's Runner calls once before training, draws all weights anew from
    a stream of the head's own and leaves torch's global stream where it was. So heads on different
    backbones start from the same weights, and several heads that are trained side by side start as
    each would alone. The draws are made on the CPU: the start is the same on every device.

    `init_seed` is the seed; None takes torch's, which is the run's.
    """

    init_seed: int | None = None
    _is_init: bool  # BaseModule's

    def init_weights(self) -> None:
        """Draw the weights; once, as mmengine has it."""
        if self._is_init:
            super().init_weights()  # says that it has been called before
            return
        seed = torch.initial_seed() if self.init_seed is None else self.init_seed
        # A copy, because parameters that an optimizer or DDP holds must stay where they are.
        drawn = copy.deepcopy(self).cpu()
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(seed)
            _redraw(drawn)
            super(SeededInit, drawn).init_weights()
        self.load_state_dict(drawn.state_dict())
        self._is_init = True


def _redraw(module: nn.Module) -> None:
    """Give every layer the weights that its constructor would give it now."""
    for child in module.children():
        _redraw(child)
    if isinstance(module, ConvModule):  # whose constructor overwrites its convolution's draw
        module.init_weights()
    elif callable(reset := getattr(module, "reset_parameters", None)):
        reset()
