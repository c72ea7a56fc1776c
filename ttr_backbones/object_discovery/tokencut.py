"""TokenCut: one object per image, by a normalised cut of its patches (arXiv 2202.11539)."""

from __future__ import annotations

import warnings

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

REMEDY = (
    "TokenCut had nothing to cut: all patches are linked, or none are. Change `tau`, the cosine "
    "similarity above which two patches are linked, or take another facet or block"
)

TIE = 1e-6
"""Patches with the same links have one |v| but for rounding; within this they are equal."""


def tokencut(
    feats: Tensor,
    grid: tuple[int, int],
    patch: tuple[int, int],
    image_size: tuple[int, int],
    tau: float = 0.2,
    eps: float = 1e-5,
) -> Detection:
    """Find the object of one image; see `tokencut_batch`, and `lost` for the arguments.

    Warns if there was nothing to cut.
    """
    found = tokencut_batch(as_batch(feats), grid, patch, image_size, tau, eps)
    if bool(found.collapsed[0]):
        warnings.warn(REMEDY, stacklevel=2)
    return first_detection(found)


@torch.no_grad()
def tokencut_batch(
    feats: Tensor,
    grid: tuple[int, int],
    patch: tuple[int, int],
    image_size: tuple[int, int],
    tau: float = 0.2,
    eps: float = 1e-5,
) -> Detections:
    """Find one object in each of B images of one size, on the device of the features.

    Patches whose cosine similarity is above `tau` are linked with weight 1, all others with `eps`.
    The second smallest solution v of (D - W) v = l D v splits them at the mean of v. The patch of
    the largest |v|, of several the first, is the seed, and its side of the cut the object. Box:
    around the 4-connected component with the seed.

    The `degrees` that come back are v, its sign chosen so that the object's side is negative and
    the seed the lowest, as the seed of LOST is.

    Args:
        feats: [B, N, C] in any floating dtype; similarities in float32, the cut in float64.
        grid: as in `lost`, like `patch` and `image_size`.
        patch: see there.
        image_size: see there.
        tau: cosine similarity above which two patches are linked.
        eps: weight of the other pairs, so that the graph hangs together.

    Raises:
        InputError: arguments out of range, a grid that does not fit, or features not finite.
    """
    if not -1 <= tau < 1 or not 0 < eps < 1:
        raise InputError(f"tau={tau}, eps={eps}: expected tau within [-1, 1) and eps within (0, 1)")
    geometry = Geometry(grid, patch, image_size)
    with torch.autocast(feats.device.type, enabled=False):
        parts = check_feats(feats, geometry).split(max(1, MOST_PAIRS // feats.shape[1] ** 2))
        picked = [_pick(part, tau, eps) for part in parts]
    joined = Picked(*(torch.cat(field) for field in zip(*picked, strict=True)))
    return to_boxes(joined, feats, geometry)


def _pick(feats: Tensor, tau: float, eps: float) -> Picked:
    unit = F.normalize(feats, dim=2)
    linked = unit @ unit.transpose(1, 2) > tau
    v = _second_eigenvector(torch.where(linked, 1.0, eps).double())
    size = v.abs()
    largest = size >= (1 - TIE) * size.amax(dim=1, keepdim=True)
    seed = largest.int().argmax(dim=1, keepdim=True)  # the first of them
    degrees = torch.where(v.gather(1, seed) > 0, -v, v)
    masks = (degrees < degrees.mean(dim=1, keepdim=True)).scatter_(1, seed, value=True)
    links = linked.sum((1, 2))
    num = feats.shape[1]
    collapsed = (links == num**2) | (links <= num)  # every patch is linked with itself
    return Picked(masks, seed[:, 0], degrees.float(), collapsed)


def _second_eigenvector(weights: Tensor) -> Tensor:
    """Second smallest solution of (D - W) v = l D v, [B, N, N] -> [B, N] (all of it for N = 1).

    v = D^-1/2 u, where u is an eigenvector of the symmetric I - D^-1/2 W D^-1/2.
    """
    scale = weights.sum(2).rsqrt()
    laplacian = torch.eye(weights.shape[1], dtype=weights.dtype, device=weights.device)
    laplacian = laplacian - scale[:, :, None] * weights * scale[:, None, :]
    vectors = torch.linalg.eigh(laplacian).eigenvectors
    return vectors[:, :, min(1, weights.shape[1] - 1)] * scale
