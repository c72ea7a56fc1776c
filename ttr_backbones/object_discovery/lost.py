"""LOST: one object per image, from the similarities of its patches (arXiv 2109.14279).

The patch that is similar to the fewest others is the seed: an object is smaller than what is around
it. `bias` is the number that Darcet et al. (arXiv 2309.16588) and the test-time register paper
(arXiv 2506.08010) add to every similarity; 0 is LOST as published.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from ttr_backbones.errors import InputError
from ttr_backbones.object_discovery.detections import (
    MOST_PAIRS,
    Detection,
    Detections,
    Geometry,
    Picked,
    as_batch,
    check_feats,
    first_detection,
    to_boxes,
)

_CPU_ROWS = 128  # of the similarity matrix, so that a part of it stays in the cache

REMEDY = (
    "LOST had nothing to choose by: every patch has the same degree, or the seed is similar to no "
    "patch. Features with a common offset make every similarity positive. Add a negative `bias` "
    "(with normalize=True within [-1, 0]), or take another facet or block; `ttrb sweep` tries them"
)


def lost(
    feats: Tensor,
    grid: tuple[int, int],
    patch: tuple[int, int],
    image_size: tuple[int, int],
    k: int = 100,
    bias: float = 0.0,
    *,
    normalize: bool = False,
) -> Detection:
    """Find the object of one image; see `lost_batch`.

    Warns if the seed means nothing, which `lost_batch` reports as `collapsed`.

    Args:
        feats: patch features [N, C], row by row, without prefix tokens.
        grid: (h, w), with h * w = N.
        patch: height and width of a patch in pixels.
        image_size: (H, W) before the image was padded right and at the bottom.
        k: so many patches of lowest degree may help the seed.
        bias: added to every similarity.
        normalize: scale the features to length 1 first.
    """
    found = lost_batch(as_batch(feats), grid, patch, image_size, k, bias, normalize=normalize)
    if bool(found.collapsed[0]):
        warnings.warn(REMEDY, stacklevel=2)
    return first_detection(found)


def lost_batch(
    feats: Tensor,
    grid: tuple[int, int],
    patch: tuple[int, int],
    image_size: tuple[int, int],
    k: int = 100,
    bias: float = 0.0,
    *,
    normalize: bool = False,
) -> Detections:
    """Find one object in each of B images of one size, on the device of the features.

    1. Similarity of two patches: the product of their features, plus `bias`.
    2. Degree of a patch: the number of other patches whose similarity is positive.
    3. Seed: the patch of lowest degree. Of several, the first in row-major order (the authors' sort
       leaves that open); the same rule orders the patches of the next step.
    4. The seed's helpers: those of the `k` patches of lowest degree that are similar to the seed,
       itself included, since a vector is similar to itself.
    5. Mask: patches whose similarities to the helpers have a positive sum. Box: around the
       4-connected component of the mask that holds the seed.

    A large negative bias can make a patch unlike itself. It is then no helper, as in the authors'
    code, which fails if no helper is left; here the box is the seed's patch, and it has collapsed.

    Args:
        feats: [B, N, C] in any floating dtype; the computation is in float32.
        grid: (h, w), with h * w = N.
        patch: height and width of a patch in pixels.
        image_size: (H, W) before the images were padded right and at the bottom.
        k: so many patches of lowest degree may help the seed.
        bias: added to every similarity.
        normalize: scale the features to length 1 first.

    Raises:
        InputError: arguments out of range, a grid that does not fit, or features not finite.
    """
    geometry = Geometry(grid, patch, image_size)
    return lost_over_biases(feats, geometry, k, [bias], normalize=normalize)[0]


@torch.no_grad()
def lost_over_biases(
    feats: Tensor, geometry: Geometry, k: int, biases: Sequence[float], *, normalize: bool
) -> list[Detections]:
    """Do `lost_batch` for each bias, with the similarities computed once."""
    if k < 1:
        raise InputError(f"k={k}: expected at least 1 patch")
    for bias in biases:
        if not math.isfinite(bias):
            raise InputError(f"bias={bias}: expected a finite number")
    # Half precision would flip signs near zero, so an autocast around this does not reach it.
    with torch.autocast(feats.device.type, enabled=False):
        used = check_feats(feats, geometry)
        used = F.normalize(used, dim=2) if normalize else used
        picked = [
            _pick(used, degrees, k, bias)
            for degrees, bias in zip(_degrees(used, biases), biases, strict=True)
        ]
    return [to_boxes(of_bias, feats, geometry) for of_bias in picked]


def _degrees(feats: Tensor, biases: Sequence[float]) -> list[Tensor]:
    """Step 2 for each bias, [B, N, C] float32 -> int64 [B, N].

    Some rows of the similarity matrix at a time, and each pair of patches once: the matrix is
    symmetric, which halves the work, and it is never in memory as a whole.
    """
    B, N, _ = feats.shape
    rows = _CPU_ROWS if feats.device.type == "cpu" else max(1, MOST_PAIRS // (B * N))
    counts = [feats.new_zeros(B, N) for _ in biases]
    for start in range(0, N, rows):
        end = start + rows
        similar = feats[:, start:end] @ feats[:, start:].transpose(1, 2)
        for count, bias in zip(counts, biases, strict=True):
            # similar + bias > 0, as ones and zeros: a CPU handles floats faster than booleans.
            alike = torch.gt(similar, -bias, out=torch.empty_like(similar))
            count[:, start:end] += alike.sum(2) - alike.diagonal(dim1=1, dim2=2)
            count[:, end:] += alike[:, :, rows:].sum(1)  # the same pairs, from their other ends
    return [count.long() for count in counts]


def _pick(feats: Tensor, degrees: Tensor, k: int, bias: float) -> Picked:
    """Steps 3 to 5 up to the mask, on features [B, N, C] and degrees [B, N].

    A row of the similarity matrix is a product of the features and the row's own, and so is the sum
    of some rows: neither needs the matrix.
    """
    lowest = degrees.argsort(dim=1, stable=True)[:, :k]
    near = feats[torch.arange(len(feats), device=feats.device)[:, None], lowest]  # [B, k, C]
    helps = (near[:, :1] @ near.transpose(1, 2) > -bias).to(feats.dtype)  # [B, 1, k]
    total = helps @ near @ feats.transpose(1, 2) + bias * helps.sum(2, keepdim=True)
    seeds = lowest[:, 0]
    masks = (total[:, 0] > 0).scatter_(1, lowest[:, :1], value=True)
    collapsed = (degrees.amin(1) == degrees.amax(1)) | ~helps.any(2)[:, 0]
    return Picked(masks, seeds, degrees, collapsed)
