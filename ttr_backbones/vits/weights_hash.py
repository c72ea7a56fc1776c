"""A hash that identifies the weights of a checkpoint."""

from __future__ import annotations

import hashlib

import torch
from torch import nn


def weights_hash(vit: nn.Module, *, with_head: bool = False) -> str:
    """SHA-256 of the parameters and buffers by name.

    Args:
        vit: the model.
        with_head: whether timm's `head` counts: a classifier, or a CLIP's projection. Patches do
            not depend on it, the pooled embedding does.
    """
    digest = hashlib.sha256()
    for name, tensor in sorted(vit.state_dict().items()):
        if with_head or not name.startswith("head."):
            digest.update(f"{name} {tuple(tensor.shape)} {tensor.dtype}\n".encode())
            digest.update(tensor.cpu().contiguous().flatten().view(torch.uint8).numpy())
    return digest.hexdigest()
