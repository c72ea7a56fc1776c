"""First weights of a linear classifier from the vectors of class names."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from ttr_backbones.errors import InputError
from ttr_backbones.text_vectors import TextVectors


def zero_shot_weights(vectors: TextVectors, head: Any, scale: float = 100.0) -> Tensor:
    """Return scale x the vector of each class, [K, C].

    Args:
        vectors: of texts, with one name for each class.
        head: the `LinearClassHead` that they are for.
        scale: what a cosine is multiplied by: CLIP's logit scale.

    Raises:
        InputError: several names of a class, rows of a classifier, or a head that does not take
            cosines of this space.
    """
    several = [names for names in vectors.classes if len(names) > 1]
    if several or not vectors.is_text:
        why = f"several for a class, as {several[0]}" if several else "rows of a classifier"
        raise InputError(
            f"the text vectors are {why}: expected one vector of a text for each class. Make them "
            "with `ttrb text` from one name per class"
        )
    found, needed = vectors.vectors.shape, head.linear.weight.shape
    if found != needed or not head.normalize:
        as_is = "" if head.normalize else " without normalising"
        raise InputError(
            f"zero_shot has {found[0]} classes of {found[1]} channels, and the head takes "
            f"{needed[0]} of {needed[1]}{as_is}: set decode_head.num_classes, token='pooled', "
            "mean_patch=False and normalize=True"
        )
    return scale * vectors.vectors
