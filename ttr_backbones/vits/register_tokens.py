"""Test-time registers as tokens: how many there are, and where.

`num_prefix_tokens` and all outputs of a model are as without test-time registers:
whatever a caller cuts out, `[:, 1:]` or a grid, is what it was. Who looks inside, by a reader or by
running the blocks, takes a sequence apart with `split_tokens`; who wants the registers themselves
calls `register_tokens`.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.fx
from torch import Tensor, nn

from ttr_backbones.errors import InputError
from ttr_backbones.vits.class_swap import RegisterMixin
from ttr_backbones.vits.family import family_of
from ttr_backbones.vits.image_patches import PER_IMAGE
from ttr_backbones.vits.neurons import RegisterNeurons
from ttr_backbones.vits.tokens import Tokens


def num_test_time_registers(vit: nn.Module) -> int:
    """Number of register tokens R in the sequence inside `vit` that are not in what it gives out.

    Learned ones (`learned_registers`) count too. Registers in the form of constant keys and values
    (`bias`) are no tokens: 0.
    """
    return vit.num_test_time_registers if isinstance(vit, RegisterTokens) else 0


def num_inner_prefix_tokens(vit: Any) -> int:
    """Number of tokens before the first patch in the sequence inside `vit`."""
    return family_of(vit).num_prefix(vit) + num_test_time_registers(vit)


def insert_registers(vit: Any, tokens: Tensor) -> Tensor:
    """Put the registers of `vit`, which start as zeros or as they were learned, behind its prefix.

    Args:
        vit: the model; one without such tokens gets `tokens` back.
        tokens: prefix and patches with their positions, [B, P + N, C].

    Returns:
        [B, P + R + N, C].
    """
    num, first = num_test_time_registers(vit), family_of(vit).num_prefix(vit)
    if not num:
        return tokens
    start = vit.initial_registers
    if start is None:
        start = tokens.new_zeros(num, tokens.shape[2])
    registers = start.to(tokens.dtype).expand(tokens.shape[0], -1, -1)
    return torch.cat([tokens[:, :first], registers, tokens[:, first:]], dim=1)


def split_tokens(vit: Any, sequence: Tensor) -> Tokens:
    """Take apart a sequence from inside `vit`, as a reader of a block sees it.

    Args:
        vit: the model, with or without registers.
        sequence: [B, P + R + N, C].
    """
    return family_of(vit).layout(vit).split(sequence)


def drop_registers(vit: Any, sequence: Tensor) -> Tensor:
    """Take the test-time registers out of a sequence from inside `vit`: [B, P + N, C]."""
    if not num_test_time_registers(vit):
        return sequence
    prefix, _, patches = split_tokens(vit, sequence)
    return torch.cat([prefix, patches], dim=1) if family_of(vit).num_prefix(vit) else patches


def forward_with_registers(
    vit: Any, images: Tensor, blocks: Any, **kwargs: Any
) -> tuple[Any, list[Tokens]]:
    """Run `vit`, and give the tokens after some blocks with the test-time registers beside them.

    Args:
        vit: the model, with or without registers.
        images: [B, 3, H, W].
        blocks: which; negative ones count back.
        kwargs: of `Family.run`: `norm`, `stop_early`, `intermediates_only`, a mask.

    Returns:
        What the model's own pass gives, None with `intermediates_only`; and the tokens after each
        block, the first block first.
    """
    return family_of(vit).run(vit, images, blocks, **kwargs)


@torch.fx.wrap  # one step of a traced graph: what it does depends on the mask's shape
def mask_with_registers(mask: Tensor | None, first: int, num: int) -> Tensor | None:
    """Widen an attention mask of the N tokens outside: the registers see all, and all see them.

    Args:
        mask: bool or added, [..., N, N] or [..., 1, N]; a traced graph may give None.
        first: index of the first register.
        num: registers.

    Returns:
        [..., N + num, N + num] or [..., 1, N + num].
    """
    if mask is None:
        return None
    for dim in (-1, -2) if mask.shape[-2] > 1 else (-1,):
        before, behind = mask.tensor_split((first,), dim=dim)
        shape = list(mask.shape)
        shape[dim] = num
        seen = mask.new_full(shape, mask.dtype == torch.bool)  # True, or 0 that is added
        mask = torch.cat([before, seen, behind], dim=dim)
    return mask


def register_tokens(vit: Any, images: Tensor, block: int = -1, *, norm: bool = True) -> Tensor:
    """Run `vit` and give what its test-time registers hold.

    Args:
        vit: a model with register tokens.
        images: [B, 3, H, W].
        block: the block after which they are read, 0-based or counted back.
        norm: apply the model's final norm to them.

    Returns:
        [B, R, C].

    Raises:
        InputError: the model has no test-time register tokens.
    """
    if not num_test_time_registers(vit):
        raise InputError(
            "this model has no test-time register tokens: add_test_time_registers(vit, neurons) "
            "adds them (constant keys and values and num=0 are no tokens)"
        )
    _, (tokens,) = forward_with_registers(
        vit, images, [block], stop_early=True, intermediates_only=True
    )
    return family_of(vit).final_norm(vit, tokens.registers) if norm else tokens.registers


class RegisterTokens(RegisterMixin):
    """A ViT with R more tokens inside than outside; nothing to train, to save or to load.

    Each family has its own, which puts the tokens in and leaves them out.

    Attributes:
        transforms_images: whether the family runs it on `image_transform.inner_images`.
    """

    transforms_images = False

    num_test_time_registers = 0
    register_neurons: RegisterNeurons

    @property
    def initial_registers(self) -> Tensor | None:
        """What the registers start as, [R, C]; None for zeros."""
        return None

    def set_num_registers(self, num: int) -> None:
        """Have `num` registers, and tell the modules that count the prefix by themselves."""
        self.count_in_prefix(num - self.num_test_time_registers)
        self.num_test_time_registers = num

    def count_in_prefix(self, change: int) -> None:
        """Add `change` to the length of the prefix that parts of the model know."""
        raise NotImplementedError

    def masked(self, mask: Tensor | None, kwargs: dict[str, Any]) -> dict[str, Any]:
        """Add the caller's mask, if any, to the arguments of a pass."""
        if mask is None:
            return kwargs
        first, num = family_of(self).num_prefix(self), self.num_test_time_registers
        return {**kwargs, "attn_mask": mask_with_registers(mask, first, num)}

    def restore(self) -> None:
        """Let the sequence be as long as before."""
        self.set_num_registers(0)
        del self.num_test_time_registers
        for name in ("register_neurons", "image_patches"):  # some registers have none
            self.__dict__.pop(name, None)

    def describe(self) -> dict[str, Any]:
        """The neurons, the number of registers and the options of the edit."""
        layers, family = self.register_neurons.layers, family_of(self)
        edit: Any = family.second_linear(family.blocks(self)[next(iter(layers))])
        at = (edit.rows - edit.options["first_patch"]).tolist()
        positions: Any = at if at and not self.num_test_time_registers else None
        positions = positions if edit.patches is None else PER_IMAGE
        return {
            "layers": {str(block): units for block, units in layers.items()},
            "num": self.num_test_time_registers,
            "gain": edit.gain.flatten().tolist(),
            **{key: edit.options[key] for key in ("peak", "keep_cls", "fill")},
            **({} if positions is None else {"positions": positions}),
        }
