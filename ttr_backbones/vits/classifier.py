"""The linear layer by which a ViT gives scores of classes."""

from __future__ import annotations

from typing import Any

from torch import nn

from ttr_backbones.errors import InputError
from ttr_backbones.vits.family import family_of


def classifier_of(vit: Any) -> nn.Linear:
    """Return the model's own classifier of CLS or of pooled tokens, [K, C].

    Raises:
        InputError: it has none, or one that is given more than one token's channels.
    """
    family = family_of(vit)
    head = getattr(vit, "head", None) or getattr(vit, "classifier", None)
    if not (family.has_classifier(vit) and isinstance(head, nn.Linear)):
        raise InputError(
            "the model has no classifier: give one that was trained on classes, with its "
            "num_classes (create_vit leaves the classifier out unless model_kwargs names it)"
        )
    channels = family.facts(vit).channels
    if head.in_features != channels:
        raise InputError(
            f"the classifier takes {head.in_features} numbers, a token has {channels}: it stands "
            "on several tokens put together, so that its rows are no vectors for one"
        )
    return head
