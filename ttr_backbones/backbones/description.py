"""What determines the maps of a backbone besides the images."""

from __future__ import annotations

import hashlib
from itertools import chain
from typing import Any, Protocol
from weakref import WeakKeyDictionary

from torch import nn

from ttr_backbones.backbones.precision import WithPrecision, settle_precision
from ttr_backbones.repairs import describe_repair
from ttr_backbones.vits.family import family_of
from ttr_backbones.vits.neurons import model_name
from ttr_backbones.vits.weights_hash import weights_hash

_hashes: WeakKeyDictionary[nn.Module, tuple[list[Any], str]] = WeakKeyDictionary()


class Backbone(WithPrecision, Protocol):
    """A backbone, as far as its maps depend on it."""

    patch_size: tuple[int, int]
    cls_token: Any
    pos_embed: Any
    pad: Any
    crop: bool


def description(backbone: Backbone) -> dict[str, Any]:
    """Describe `backbone` as plain data: where it differs, the maps may.

    Which blocks and facets are taken of it is not in there. Only changed weights are read again, so
    this may be asked at every pass.
    """
    vit = backbone.vit
    family = family_of(vit)
    # Before the hash, which the first pass would change otherwise.
    bf16 = settle_precision(backbone, family.kernel(vit).device)
    return {
        "model": model_name(vit) or type(vit).__name__,
        "weights_sha256": _weights_hash(vit),
        "modules_sha256": hashlib.sha256(repr(vit).encode()).hexdigest(),
        "heads": family.head_shape(family.blocks(vit)[0])[0],  # neither of these two shows it
        "repair": describe_repair(vit),
        "patch_size": list(backbone.patch_size),
        "cls_token": backbone.cls_token,
        "pos_embed": backbone.pos_embed,
        "pad": backbone.pad,
        "crop": backbone.crop,
        "precision": "bf16" if bf16 else "fp32",
    }


def _weights_hash(vit: nn.Module) -> str:
    """`weights_hash`, computed anew if a tensor has been written to or replaced."""
    stamp = [(t.data_ptr(), t._version) for t in chain(vit.parameters(), vit.buffers())]  # noqa: SLF001
    if vit not in _hashes or _hashes[vit][0] != stamp:
        _hashes[vit] = (stamp, weights_hash(vit, with_head=True))
    return _hashes[vit][1]
