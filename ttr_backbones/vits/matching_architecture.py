"""The name of the architecture that a weight file was made for, where it is not the one named."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from math import isqrt

import timm
import torch
from torch import Tensor

from ttr_backbones.vits.family import family_of, is_vit

# (channels, blocks) of the sizes that timm has names for.
_SIZES = {
    (192, 12): "tiny",
    (384, 12): "small",
    (768, 12): "base",
    (1024, 24): "large",
    (1152, 27): "so400m",
    (1280, 32): "huge",
    (1536, 40): "giant",
    (4096, 40): "7b",
}
_BLOCK = re.compile(r"(?:visual\.)?(?:transformer\.res)?blocks\.(\d+)\.")


def fitting_model(state: Mapping[str, Tensor], kernel: Tensor | None, model: str) -> str | None:
    """Find a timm architecture that takes the tensors of a file.

    Args:
        state: named as the publisher does.
        kernel: of the patch embedding, [C, 3, P, P].
        model: the architecture that they do not fit.

    Returns:
        Its name, None if no usual one fits. Blocks are compared by the first one and their number.
    """
    if kernel is None or kernel.ndim != 4:
        return None
    depth = len({m[1] for m in map(_BLOCK.match, state) if m})
    size = _SIZES.get((kernel.shape[0], depth))
    if size is None:
        return None
    names = _candidates(state, size, int(kernel.shape[-1]), model)
    known = [name for name in names if name != model and timm.is_model(name)]
    return next((name for name in known if _takes(name, state)), None)


def _candidates(state: Mapping[str, Tensor], size: str, patch: int, model: str) -> Iterator[str]:
    """Names by what only one publisher's files have, then the asked name in the file's size."""
    start = f"vit_{size}_patch{patch}"
    if "storage_tokens" in state:
        for plus in ("", "_plus"):
            for bias in ("", "_qkvb"):
                yield f"vit_{size}{plus}_patch{patch}_dinov3{bias}"
    elif "register_tokens" in state:
        yield f"{start}_reg{state['register_tokens'].shape[1]}_dinov2"
    elif "mask_token" in state:
        yield f"{start}_dinov2"
    elif "visual.class_embedding" in state:
        side = patch * isqrt(state["visual.positional_embedding"].shape[0] - 1)
        yield from (f"{start}_clip_{side}", f"vit_pe_core_{size}_patch{patch}_{side}")
    elif "attn_pool.latent" in state:
        yield f"{start}_siglip_{patch * isqrt(state['pos_embed'].shape[1])}"
    words = "|".join(_SIZES.values())
    sized = re.sub(f"(?<![a-z])({words})(?![a-z])", size, model)
    yield re.sub(r"patch\d+", f"patch{patch}", sized)


def _takes(name: str, state: Mapping[str, Tensor]) -> bool:
    """Whether what is outside the blocks and in the first one has its place in `name`."""
    with torch.device("meta"):
        vit = timm.create_model(name, num_classes=0, depth=1)
    if not is_vit(vit):
        return False
    matches = {key: _BLOCK.match(key) for key in state}
    first = {key: state[key] for key, block in matches.items() if not block or block[1] == "0"}
    try:
        renamed = family_of(vit).renamed(vit, first)
    except (RuntimeError, KeyError, AssertionError, IndexError, ValueError):
        return False
    wanted = vit.state_dict()
    return wanted.keys() <= renamed.keys() and all(
        renamed[key].shape == tensor.shape for key, tensor in wanted.items() if key != "pos_embed"
    )
