"""Where the tokens of test-time registers are, and where they are not.

Inside a model, from the position embedding to the last block, a sequence is [CLS, trained
registers, test-time registers, patches]. `num_prefix_tokens` and everything that the model gives
out are as without test-time registers: whatever a caller cuts out, `[:, 1:]` or a grid, is what it
was. Who looks inside, by a hook or by running the blocks, takes a sequence apart with
`split_tokens`; who wants the registers themselves calls `register_tokens`.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
import torch.fx
from timm.models.vision_transformer import VisionTransformer
from torch import Tensor, nn

from ttr_backbones.errors import InputError, unknown_name
from ttr_backbones.vits.class_swap import RegisterMixin
from ttr_backbones.vits.neurons import RegisterNeurons

_FORMATS = ("NCHW", "NLC")


class Tokens(NamedTuple):
    """The parts of a sequence of tokens."""

    prefix: Tensor  # [B, P, C], CLS and trained registers
    registers: Tensor  # [B, R, C], test-time registers
    patches: Tensor  # [B, N, C]


def num_test_time_registers(vit: nn.Module) -> int:
    """Number of test-time register tokens R in the sequence inside `vit`.

    Registers in the form of constant keys and values (`bias`) are no tokens: 0.
    """
    return vit.num_test_time_registers if isinstance(vit, RegisterTokens) else 0


def num_inner_prefix_tokens(vit: VisionTransformer) -> int:
    """Number of tokens before the first patch in the sequence inside `vit`."""
    return int(vit.num_prefix_tokens) + num_test_time_registers(vit)


def insert_registers(vit: VisionTransformer, tokens: Tensor) -> Tensor:
    """Put the test-time registers of `vit`, which start as zeros, behind its own prefix.

    Args:
        vit: the model; one without such tokens gets `tokens` back.
        tokens: prefix and patches with their positions, [B, P + N, C].

    Returns:
        [B, P + R + N, C].
    """
    num, first = num_test_time_registers(vit), vit.num_prefix_tokens
    if not num:
        return tokens
    zeros = tokens.new_zeros(1, num, tokens.shape[2]).expand(tokens.shape[0], -1, -1)
    return torch.cat([tokens[:, :first], zeros, tokens[:, first:]], dim=1)


def split_tokens(vit: VisionTransformer, sequence: Tensor) -> Tokens:
    """Take apart a sequence from inside `vit`, as a hook on a block sees it.

    Args:
        vit: the model, with or without registers.
        sequence: [B, P + R + N, C].
    """
    own, first = vit.num_prefix_tokens, num_inner_prefix_tokens(vit)
    return Tokens(sequence[:, :own], sequence[:, own:first], sequence[:, first:])


def drop_registers(vit: VisionTransformer, sequence: Tensor) -> Tensor:
    """Take the test-time registers out of a sequence from inside `vit`: [B, P + N, C]."""
    if not num_test_time_registers(vit):
        return sequence
    prefix, _, patches = split_tokens(vit, sequence)
    return torch.cat([prefix, patches], dim=1) if vit.num_prefix_tokens else patches


def forward_with_registers(
    vit: VisionTransformer, images: Tensor, blocks: Any, **kwargs: Any
) -> tuple[Any, list[Tokens]]:
    """Run `vit` as `forward_intermediates` does, with the test-time registers beside the patches.

    Args:
        vit: the model, with or without registers.
        images: [B, 3, H, W].
        blocks: what `forward_intermediates` takes as `indices`.
        kwargs: more of its arguments: `norm`, `stop_early`, `intermediates_only`, a mask.

    Returns:
        What `forward_features` gives, None with `intermediates_only`; and the tokens after each
        block, the first block first.
    """
    run: Any = super(RegisterTokens, vit) if isinstance(vit, RegisterTokens) else vit
    out = run.forward_intermediates(
        images, blocks, output_fmt="NLC", return_prefix_tokens=True, **kwargs
    )
    final, taken = (None, out) if kwargs.get("intermediates_only") else out
    num = num_test_time_registers(vit)
    pairs = taken if vit.num_prefix_tokens else [(rest, rest[:, :0]) for rest in taken]
    parts = [Tokens(prefix, rest[:, :num], rest[:, num:]) for rest, prefix in pairs]
    return None if final is None else drop_registers(vit, final), parts


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


def register_tokens(
    vit: VisionTransformer, images: Tensor, block: int = -1, *, norm: bool = True
) -> Tensor:
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
    return vit.norm(tokens.registers) if norm else tokens.registers


class RegisterTokens(RegisterMixin, VisionTransformer):
    """A ViT with R more tokens inside than outside; nothing to train, to save or to load."""

    num_test_time_registers = 0
    num_prefix_tokens: int
    register_neurons: RegisterNeurons
    blocks: Any
    patch_embed: Any
    patch_drop: Any

    def set_num_registers(self, num: int) -> None:
        """Have `num` registers, and tell the modules that count the prefix by themselves."""
        change = num - self.num_test_time_registers
        self.num_test_time_registers = num
        for module in (self.patch_drop, *self.blocks.modules()):
            count = getattr(module, "num_prefix_tokens", None)
            if isinstance(count, int):
                module.num_prefix_tokens = count + change

    def _pos_embed(self, x: Tensor) -> Tensor:
        return insert_registers(self, super()._pos_embed(x))

    def forward_features(self, x: Tensor, attn_mask: Tensor | None = None, **kwargs: Any) -> Tensor:
        """Give the tokens that timm's model gives: [B, P + N, C]."""
        return drop_registers(self, super().forward_features(x, **self._masked(attn_mask, kwargs)))

    def forward_intermediates(
        self,
        x: Tensor,
        indices: Any = None,
        return_prefix_tokens: bool = False,
        norm: bool = False,
        stop_early: bool = False,
        output_fmt: str = "NCHW",
        intermediates_only: bool = False,
        output_dict: bool = False,
        attn_mask: Tensor | None = None,
        **kwargs: Any,
    ) -> Any:
        """Give what timm's model gives, without the test-time registers."""
        if output_fmt not in _FORMATS:
            raise InputError(unknown_name("output_fmt", str(output_fmt), _FORMATS))
        kwargs |= {"norm": norm, "stop_early": stop_early, "intermediates_only": intermediates_only}
        final, parts = forward_with_registers(self, x, indices, **self._masked(attn_mask, kwargs))
        maps = [tokens.patches for tokens in parts]
        if output_fmt == "NCHW":
            grid = tuple(self.patch_embed.dynamic_feat_size((x.shape[2], x.shape[3])))
            maps = [patches.transpose(1, 2).unflatten(2, grid).contiguous() for patches in maps]
        with_prefix = return_prefix_tokens and self.num_prefix_tokens > 0
        prefixes = [tokens.prefix for tokens in parts] if with_prefix else None
        if output_dict:
            found: dict[str, Any] = {"image_intermediates": maps}
            found |= {} if prefixes is None else {"image_intermediates_prefix": prefixes}
            return found if final is None else {**found, "image_features": final}
        taken: Any = maps if prefixes is None else list(zip(maps, prefixes, strict=True))
        return taken if intermediates_only else (final, taken)

    def _masked(self, mask: Tensor | None, kwargs: dict[str, Any]) -> dict[str, Any]:
        """Add the caller's mask, if any, to the arguments."""
        if mask is None:
            return kwargs
        first, num = self.num_prefix_tokens, self.num_test_time_registers
        return {**kwargs, "attn_mask": mask_with_registers(mask, first, num)}

    def restore(self) -> None:
        """Let the sequence be as long as before."""
        self.set_num_registers(0)
        del self.register_neurons, self.num_test_time_registers

    def describe(self) -> dict[str, Any]:
        """The neurons, the number of registers and the options of the edit."""
        layers = self.register_neurons.layers
        edit = self.blocks[next(iter(layers))].mlp.norm
        return {
            "layers": {str(block): units for block, units in layers.items()},
            "num": self.num_test_time_registers,
            "gain": edit.gain.flatten().tolist(),
            **{key: edit.options[key] for key in ("peak", "keep_cls", "fill")},
        }
