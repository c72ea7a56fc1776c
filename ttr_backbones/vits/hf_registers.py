"""Mixins of the modules of a model of transformers while it has registers.

Rows are put in behind `embeddings`, which have added the positions by then, and taken out where
the blocks are left and wherever their outputs are recorded: pooling, heads, backbones and language
models see none. The printed names of the classes stay, for transformers looks up by them what to
record.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

import ttr_backbones.vits.hf_parts as hf_parts
from ttr_backbones.errors import InputError
from ttr_backbones.vits.class_swap import Mixin, mix
from ttr_backbones.vits.register_tokens import (
    RegisterTokens,
    drop_registers,
    insert_registers,
    num_test_time_registers,
)


class HFRegisterTokens(RegisterTokens):
    """A model of transformers with registers in its vision tower."""

    def count_in_prefix(self, change: int) -> None:
        """Let the parts of the model take on their classes; they ask the model how many."""
        if change <= 0 or any(isinstance(module, _Part) for module in self.modules()):
            return
        vision = hf_parts.tower(self)
        inner, _ = hf_parts.runner(vision)
        parts: list[tuple[Any, type[_Part]]] = [(vision.embeddings, _Embeddings)]
        if inner is not vision:
            parts.append((inner, _Runner))
        parts += [(module, _Recorder) for module in _recorders(self, vision)]
        for module, mixin in parts:
            mix(module, mixin)
            module.whole = (self,)  # in a tuple: it is no submodule


class _Part(Mixin):
    """A module of a model with registers."""

    whole: tuple[Any]

    def restore(self) -> None:
        """Forget the model."""
        del self.whole


class _Embeddings(_Part):
    """`embeddings`, with the registers behind the prefix."""

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """[B, P + N, C] of the module -> [B, P + R + N, C]."""
        output = super().forward(*args, **kwargs)
        if isinstance(output, tuple):  # InternVL of transformers 4 gives the grid too
            return insert_registers(self.whole[0], output[0]), *output[1:]
        return insert_registers(self.whole[0], output)


class _Runner(_Part):
    """A module inside the tower that runs all blocks, without registers in what it gives."""

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """The output of the module; every sequence in it has the registers."""
        output = super().forward(*args, **kwargs)
        return _mapped(output, lambda tokens: drop_registers(self.whole[0], tokens))


class _Recorder(_Part):
    """The tower or a model around it, which may record sequences on its own."""

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """The output of the module; the sequences in it may have the registers, or not."""
        images = kwargs["pixel_values"] if "pixel_values" in kwargs else (*args, None)[0]
        model, mask = self.whole[0], kwargs.get("attention_mask")
        if mask is not None:
            raise InputError(
                "attention_mask: no mask goes with test-time registers in a model of transformers. "
                "Leave it out, or call remove_test_time_registers first"
            )
        output = super().forward(*args, **kwargs)
        if images is None:
            return output
        vision, num = hf_parts.tower(model), num_test_time_registers(model)
        kernel = hf_parts.convolution(vision).weight
        patches = (images.shape[-2] // kernel.shape[2]) * (images.shape[-1] // kernel.shape[3])
        inside = hf_parts.num_prefix(vision) + num + patches

        def dropped(tokens: Tensor) -> Tensor:
            return drop_registers(model, tokens) if tokens.shape[1] == inside else tokens

        return _mapped(output, dropped)


def _recorders(model: nn.Module, vision: nn.Module) -> list[Any]:
    """The tower, and what is around it without blocks other than the tower's."""
    inner = {id(module) for module in vision.modules()}

    def others(module: nn.Module) -> bool:
        return any(
            isinstance(each, nn.ModuleList) and len(each) and id(each) not in inner
            for each in module.modules()
        )

    around = [each for each in model.modules() if any(part is vision for part in each.modules())]
    return [each for each in around if each is vision or not others(each)]


def _mapped(output: Any, change: Any) -> Any:
    """Change the sequences [B, N, C] in an output of transformers; attention maps are 4-D."""
    if isinstance(output, torch.Tensor):
        return change(output) if output.ndim == 3 else output
    if isinstance(output, dict):
        for key in list(output):
            output[key] = _mapped(output[key], change)
    elif isinstance(output, tuple):
        return tuple(_mapped(each, change) for each in output)
    return output
