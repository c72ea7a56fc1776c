"""Read activations while a ViT runs: which block, which site, and only within a `with`."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Literal, NamedTuple

from torch import Tensor, nn

from ttr_backbones.errors import InputError
from ttr_backbones.vits.family import Family, family_of, naming_block
from ttr_backbones.vits.image_transform import ImageTransform, outer_tokens

Place = Literal["input", "attention", "mlp", "hidden", "output"]
Callback = Callable[[Tensor], object]


class Site(NamedTuple):
    """Where to read.

    Args:
        block: 0-based; None for the patch embedding, whose `output` is [B, h, w, C].
        place: `input` and `output` of the block, `attention` and `mlp` for what these are given,
            each [B, N, C]; `hidden` for the neurons, [B, N, D]: what the MLP's second linear layer
            is given, in an edited block what it would be given without the edit.
    """

    block: int | None
    place: Place = "output"


@contextmanager
def reading(vit: Any, sites: Mapping[Site, Callback]) -> Iterator[None]:
    """Hand activations to callbacks in every pass of `vit` within the context.

    Of a model that transforms its input images (`image_transform`), what belongs to these is
    handed over, as the model gives it out.

    What the model computes is not touched, unless a callback writes into what it is handed. An
    exception in a callback ends the pass. Nothing of this is left on the model afterwards.

    Args:
        vit: the model.
        sites: what is called with the activation of each site.

    Raises:
        InputError: no such block, or one without such a site.
    """
    family, handles = family_of(vit), []
    try:
        for site, callback in sites.items():
            handles.append(_hook(family, vit, site, _outer(vit, site, callback)))
        yield
    finally:
        for handle in handles:
            handle.remove()


def _outer(vit: Any, site: Site, callback: Callback) -> Callback:
    """Let a callback have the tokens of the images that the model is given."""
    if not isinstance(vit, ImageTransform):
        return callback
    if site.block is not None:
        return lambda tokens: callback(outer_tokens(vit, tokens))

    def of_patches(patches: Tensor) -> None:
        grid = vit.outer_grid
        callback(vit.outer_patches(patches.flatten(1, 2), grid).unflatten(1, grid))

    return of_patches


def _hook(family: Family, vit: Any, site: Site, callback: Callback) -> Any:
    if site.block is None:
        return _after(family.patch_embedding(vit), lambda out: callback(family.patch_map(out)))
    blocks = family.blocks(vit)
    if not 0 <= site.block < len(blocks):
        raise InputError(f"no block {site.block}: the model has blocks 0..{len(blocks) - 1}")
    with naming_block(site.block):
        return _HOOKS[site.place](family, blocks[site.block], callback)


def _before(module: nn.Module, callback: Callback) -> Any:
    def hook(_: Any, args: tuple[Tensor, ...], kwargs: dict[str, Any]) -> None:
        callback(args[0] if args else next(iter(kwargs.values())))

    return module.register_forward_pre_hook(hook, with_kwargs=True)


def _after(module: nn.Module, callback: Callback) -> Any:
    def hook(_: Any, __: Any, output: Any) -> None:
        callback(output[0] if isinstance(output, tuple) else output)

    return module.register_forward_hook(hook)


_HOOKS: dict[Place, Callable[[Family, Any, Callback], Any]] = {
    "input": lambda _, block, callback: _before(block, callback),
    "attention": lambda family, block, callback: _before(family.attention(block), callback),
    "mlp": lambda family, block, callback: _before(family.mlp(block), callback),
    "hidden": lambda family, block, callback: _before(family.second_linear(block), callback),
    "output": lambda _, block, callback: _after(block, callback),
}
