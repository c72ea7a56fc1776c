"""The patch features that teacher and student are compared by."""

from __future__ import annotations

from torch import Tensor, nn

from ttr_backbones.vits.family import family_of


def dense_features(vit: nn.Module, images: Tensor, *, projected: bool) -> Tensor:
    """Run `vit` by itself.

    Args:
        vit: the model.
        images: [B, 3, H, W].
        projected: apply the projection of a CLIP to every patch.

    Returns:
        Patches after the final norm, and the projection, [B, N, C].
    """
    family = family_of(vit)
    patches = family.final_tokens(vit, images)[:, family.num_prefix(vit) :]
    if not projected:
        return patches
    # A CLIP projects the token that it pools, and here that is every patch.
    pooled = family.pool(vit, patches.flatten(0, 1).unsqueeze(1))
    return patches if pooled is None else pooled.unflatten(0, patches.shape[:2])
