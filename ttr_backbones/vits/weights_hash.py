"""What tells the weights of one checkpoint from those of another."""

from __future__ import annotations

import hashlib

import torch
from torch import nn


def weights_hash(vit: nn.Module) -> str:
    """SHA-256 of the parameters and buffers by name; the classifier does not count."""
    digest = hashlib.sha256()
    for name, tensor in sorted(vit.state_dict().items()):
        if not name.startswith("head."):
            digest.update(f"{name} {tuple(tensor.shape)} {tensor.dtype}\n".encode())
            digest.update(tensor.cpu().contiguous().flatten().view(torch.uint8).numpy())
    return digest.hexdigest()
