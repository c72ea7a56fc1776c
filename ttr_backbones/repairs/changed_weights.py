"""Mixin of a ViT some of whose weights a repair has changed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import nn

from ttr_backbones.vits.class_swap import Mixin, mix


class ChangedWeights(Mixin):
    """A ViT that computes as it did, with other weights; a subclass says by which repair.

    The weights themselves are `vits.replaced_parameters`.
    """

    description: dict[str, Any]

    def restore(self) -> None:
        """Forget what was done."""
        del self.description


def describe_changes(vit: nn.Module, kind: type[ChangedWeights], about: Mapping[str, Any]) -> None:
    """Record on `vit` what was changed.

    Args:
        vit: the model.
        kind: by which repair.
        about: plain data, equal where the same is done.
    """
    mixed: Any = vit
    mix(mixed, kind)
    mixed.description = dict(about)
