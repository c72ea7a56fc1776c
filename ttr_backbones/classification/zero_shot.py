"""First weights of a linear classifier from the vectors of class names."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from torch import Tensor

from ttr_backbones.errors import InputError
from ttr_backbones.text_vectors import TextVectors


def zero_shot_weights(
    backbone: Any, vectors: str | Path, scale: float = 100.0, *, repaired: bool = False
) -> Tensor:
    """Return scale x the vector of each class, [K, C].

    Args:
        backbone: the `TimmViT` whose images they are for.
        vectors: a file of `ttrb text`, with one name for each class.
        scale: what a cosine is multiplied by: CLIP's logit scale.
        repaired: whether it has a repair, which may have changed weights that the vectors are
            bound to: they are not compared then.

    Raises:
        MissingFileError: no such file.
        InputError: another kind of file, several names of a class, a classifier's bias, or vectors
            of another model.
    """
    found = TextVectors.load(vectors)
    several = [names for names in found.classes if len(names) > 1]
    if several or found.bias is not None:
        why = f"several for a class, as {several[0]}" if several else "rows of a classifier"
        raise InputError(
            f"{vectors} holds {why}: expected one vector of a text for each class. Make it with "
            "`ttrb text` from one name per class"
        )
    if not repaired:
        found.check_weights(backbone.vit)
    return scale * found.vectors


def check_zero_shot(weights: Tensor, head: Any) -> None:
    """Raise InputError unless a head takes weights [K, C] as cosines of the same space."""
    needed = head.linear.weight.shape
    if weights.shape != needed or not head.normalize:
        as_is = "" if head.normalize else " without normalising"
        raise InputError(
            f"zero_shot has {weights.shape[0]} classes of {weights.shape[1]} channels, and the "
            f"head takes {needed[0]} of {needed[1]}{as_is}: "
            "set decode_head.num_classes, token='pooled', mean_patch=False and normalize=True"
        )
