"""Names and templates -> vectors."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import product

import torch
from torch import Tensor
from torch.nn.functional import normalize

from ttr_backbones.errors import InputError
from ttr_backbones.text_vectors.templates import PLACE


def encode_names(
    tower: Callable[[Sequence[str]], Tensor],
    names: Sequence[str],
    templates: Sequence[str],
    *,
    batch_size: int = 512,
    progress: Callable[[int, int], object] | None = None,
) -> Tensor:
    """Embed every name in every template; mean over the templates, of unit length again.

    As OpenAI's notebook and open_clip's `build_zero_shot_classifier` do. A name that occurs twice
    is embedded once.

    Args:
        tower: sentences -> embeddings [B, C] of unit length, as a `TextTower`.
        names: Q of them.
        templates: with `{}` in the place of the name.
        batch_size: sentences per pass, over the borders of names.
        progress: called with the sentences that are done and all.

    Returns:
        [Q, C], float32.

    Raises:
        InputError: no template; a batch_size below 1; a name with no vector (the mean over its
            sentences is 0).
    """
    if not templates:
        raise InputError("no templates: expected at least one, as 'a photo of a {}.'")
    if batch_size < 1:
        raise InputError(f"batch_size={batch_size}: expected at least one sentence per pass")
    different = list(dict.fromkeys(names))
    sentences = [t.replace(PLACE, name) for name, t in product(different, templates)]
    parts = []
    for start in range(0, len(sentences), batch_size):
        parts.append(tower(sentences[start : start + batch_size]))
        if progress is not None:
            progress(min(start + batch_size, len(sentences)), len(sentences))
    means = torch.cat(parts).unflatten(0, (len(different), len(templates))).mean(dim=1)
    if not means.norm(dim=1).all() or not means.isfinite().all():
        raise InputError("a text vector is 0 or not finite: are these the weights of a text tower?")
    place = {name: index for index, name in enumerate(different)}
    return normalize(means, dim=1)[[place[name] for name in names]]
