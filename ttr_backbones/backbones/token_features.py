"""Single tokens of a `TimmViT`'s blocks: what a classifier of whole images takes."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from ttr_backbones.backbones.cached import CachedTimmViT
from ttr_backbones.backbones.timm_vit import TimmViT
from ttr_backbones.errors import InputError
from ttr_backbones.vits.image_tokens import TokenName, tapped_tokens
from ttr_backbones.vits.taps import Tap
from ttr_backbones.vits.text_space import embedding_width

TokensOfTap = dict[str, Tensor]


def token_features(
    backbone: TimmViT, x: Tensor, taps: Sequence[Tap], names: Sequence[TokenName]
) -> dict[Tap, TokensOfTap]:
    """Take tokens of several blocks from one pass, or from the feature cache.

    Args:
        backbone: with `crop` False.
        x: images [B, 3, H, W]; what they are padded with counts as part of the image.
        taps: blocks and norms, facet "token".
        names: tokens of each, see `vits.image_tokens`.

    Returns:
        {tap: {name: [B, C]}}, float32 whatever the precision.

    Raises:
        InputError: a token that the model does not have, or an image that cannot be padded.
    """
    if backbone.crop:
        raise InputError("crop=True resamples a map, and single tokens have none: set crop=False")
    wanted, what = list(dict.fromkeys(taps)), list(dict.fromkeys(names))
    take = tapped_tokens(what)

    def compute(images: Tensor) -> list[Tensor]:
        return list(backbone._computed(images, wanted, take).maps)  # noqa: SLF001 (its file is full)

    if isinstance(backbone, CachedTimmViT) and backbone.uses_cache:
        tokens = backbone.feature_cache(x, compute, [wanted, what])
    else:
        tokens = compute(x)
    flat = iter(token.flatten(1) for token in tokens)
    return {tap: {name: next(flat) for name in what} for tap in wanted}


def token_width(backbone: TimmViT, name: TokenName) -> int:
    """Return the channels of a token: C, or of "pooled" those of the model's projection.

    Raises:
        InputError: the model does not pool its tokens.
    """
    if name == "pooled":
        return embedding_width(backbone.vit)
    return backbone.family.facts(backbone.vit).channels
