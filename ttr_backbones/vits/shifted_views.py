"""Views of an image that are shifted by whole patches and mirrored, and back from them by index.

What stays at its place while the content moves, as many artifacts do, is averaged away: the teacher
of PH-Reg (arXiv 2505.21501, section 3). Nothing is interpolated.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, NamedTuple

import torch
from torch import Tensor

from ttr_backbones.errors import InputError
from ttr_backbones.vits.tokens import Grid

Fill = Literal["white", "zero", "reflect"]
FILLS: tuple[Fill, ...] = ("white", "zero", "reflect")
_CANDIDATES = 100  # random shifts of which the views are chosen


class Views(NamedTuple):
    """n views of one image, or of each of B; view 0 is the image itself.

    Args:
        shifts: (down, right) as a share of the largest shift, in -1..1; [n, 2] or [B, n, 2].
        flips: whether the shifted image is mirrored, bool [n] or [B, n].
        share: the largest shift, as a share of the grid.
    """

    shifts: Tensor
    flips: Tensor
    share: float

    def to(self, device: torch.device) -> Views:
        """The same on another device."""
        return Views(self.shifts.to(device), self.flips.to(device), self.share)


def draw_views(
    num: int,
    grid: Grid,
    generator: torch.Generator,
    *,
    share: float = 0.15,
    flip: float = 0.5,
) -> Views:
    """Draw views of one image, as far from each other as can be.

    Of random shifts in whole patches those are chosen that are farthest from the ones before; the
    first makes room for no shift.

    Args:
        num: views n, the image itself among them.
        grid: (h, w) in patches.
        generator: on the CPU.
        share: the largest shift as a share of the grid, on both axes.
        flip: probability that a view, other than the image itself, is mirrored.

    Raises:
        InputError: numbers out of range.
    """
    if not 1 <= num <= _CANDIDATES:
        raise InputError(f"views={num}: expected 1..{_CANDIDATES}")
    if not 0 <= share < 1 or not 0 <= flip <= 1:
        raise InputError(f"shift={share} and flip={flip}: expected shares below 1, and up to 1")
    limit = torch.tensor(_largest(grid, share))
    drawn = torch.stack(
        [
            torch.randint(-int(most), int(most) + 1, (_CANDIDATES,), generator=generator)
            for most in limit
        ],
        dim=1,
    )
    shifts = drawn[farthest_points(drawn.float(), num)] / limit.clamp(min=1)
    flips = torch.rand(num, generator=generator) < flip
    shifts[0], flips[0] = 0, False
    return Views(shifts, flips, share)


def stack_views(views: Sequence[Views]) -> Views:
    """Put the views of each of B images together."""
    shifts, flips = (
        torch.stack([getattr(each, name) for each in views]) for name in Views._fields[:2]
    )
    return Views(shifts, flips, views[0].share)


def farthest_points(points: Tensor, num: int) -> Tensor:
    """Choose points one after the other, each farthest from its nearest among those chosen.

    Args:
        points: [M, D]; the first is chosen first, and of equally far ones the first.
        num: how many, at most M.

    Returns:
        Their indices [num].
    """
    chosen = [0]
    nearest = (points - points[0]).square().sum(dim=1)
    for _ in range(num - 1):
        chosen.append(int(nearest.argmax()))
        nearest = torch.minimum(nearest, (points - points[chosen[-1]]).square().sum(dim=1))
    return torch.tensor(chosen)


def view_images(images: Tensor, views: Views, patch: Grid, fill: Tensor | None) -> Tensor:
    """Make the views.

    Args:
        images: [B, 3, H, W], H and W multiples of the patch.
        views: of them all, or of each.
        patch: (height, width) in pixels.
        fill: what comes in from outside, [3]; None reflects the image.

    Returns:
        The views of the first image, then those of the second, ...: [B * n, 3, H, W].
    """
    size = (images.shape[2], images.shape[3])
    rows, columns = _sources(views, (size[0] // patch[0], size[1] // patch[1]))
    down, right = _in_pixels(rows, patch[0]), _in_pixels(columns, patch[1])
    mirrored = _per_image(views.flips)[..., None]
    # A mirrored view takes the columns of its source the other way round.
    right = torch.where(mirrored, right.flip(-1), right)
    batch, num = images.shape[0], right.shape[1]
    down, right = down.expand(batch, -1, -1), right.expand(batch, -1, -1)  # [B, n, H], [B, n, W]
    inside = _inside(down, size[0])[..., :, None] & _inside(right, size[1])[..., None, :]
    reflect = fill is None
    down, right = (
        _within(index, most, reflect=reflect) for index, most in ((down, size[0]), (right, size[1]))
    )
    rows_of = down[:, :, None, :, None].expand(-1, -1, images.shape[1], -1, size[1])
    columns_of = right[:, :, None, None, :].expand(-1, -1, images.shape[1], size[0], -1)
    copies = images[:, None].expand(-1, num, -1, -1, -1)
    made = copies.gather(3, rows_of).gather(4, columns_of)
    if fill is not None:
        made = torch.where(inside[:, :, None], made, fill.to(made)[:, None, None])
    return made.flatten(0, 1)


def put_back(tokens: Tensor, views: Views, grid: Grid) -> tuple[Tensor, Tensor]:
    """Put the patches of views where they belong in the image.

    Args:
        tokens: patch tokens of `view_images`, [B * n, h * w, C].
        views: those that `view_images` made.
        grid: (h, w).

    Returns:
        The patches of each view at their places in the image, whatever where it does not show it
        [B, n, h * w, C]; and whether it does, bool [B or 1, n, h * w].
    """
    h, w = grid
    down, right = _shifts(views, grid)
    # Patch (i, j) of the image is at (i - down, j - right) of the shifted one.
    rows = torch.arange(h, device=down.device) - down[..., None]
    columns = torch.arange(w, device=down.device) - right[..., None]
    visible = _inside(rows, h)[..., :, None] & _inside(columns, w)[..., None, :]
    columns = torch.where(_per_image(views.flips)[..., None], w - 1 - columns, columns)
    rows, columns = rows.clamp(0, h - 1), columns.clamp(0, w - 1)
    index = (rows[..., :, None] * w + columns[..., None, :]).flatten(2)  # [B or 1, n, h * w]
    of_views = tokens.unflatten(0, (-1, index.shape[1]))
    index = index[..., None].expand(of_views.shape[0], -1, -1, of_views.shape[3])
    return of_views.gather(2, index), visible.flatten(2)


def average_back(tokens: Tensor, views: Views, grid: Grid) -> Tensor:
    """Average the patches of views, each over the views that show it.

    Args:
        tokens: as for `put_back`, [B * n, h * w, C].
        views: the views.
        grid: (h, w).

    Returns:
        [B, h * w, C].
    """
    placed, visible = put_back(tokens, views, grid)
    shown = visible[..., None]
    total = torch.where(shown, placed, 0).sum(dim=1)
    return total / shown.sum(dim=1)  # never 0: view 0 shows all


def fill_colour(
    fill: Fill, mean: Sequence[float], std: Sequence[float]
) -> tuple[float, ...] | None:
    """Return what stands outside of an image, after its normalisation; None for a reflection.

    Args:
        fill: "white", as published; "zero", the mean colour; "reflect".
        mean: of the normalisation, per channel on the scale 0..1.
        std: likewise.

    Raises:
        InputError: no such fill.
    """
    if fill not in FILLS:
        raise InputError(f"fill={fill!r}: expected {', '.join(map(repr, FILLS))}")
    if fill == "reflect":
        return None
    if fill == "zero":
        return (0.0,) * len(mean)
    return tuple((1 - m) / s for m, s in zip(mean, std, strict=True))


def _largest(grid: Grid, share: float) -> tuple[int, int]:
    return round(share * grid[0]), round(share * grid[1])


def _per_image(values: Tensor) -> Tensor:
    """Views [n] of all images as [1, n]; those of each stay [B, n]."""
    return values if values.ndim == 2 else values[None]


def _shifts(views: Views, grid: Grid) -> tuple[Tensor, Tensor]:
    """(down, right) in patches, [B or 1, n] each."""
    shifts = views.shifts if views.shifts.ndim == 3 else views.shifts[None]
    down, right = (
        (shifts[..., axis] * largest).round().long()
        for axis, largest in enumerate(_largest(grid, views.share))
    )
    return down, right


def _sources(views: Views, grid: Grid) -> tuple[Tensor, Tensor]:
    """Row and column of the image's patch that each row and column of a shifted view shows."""
    down, right = _shifts(views, grid)
    rows = torch.arange(grid[0], device=down.device) + down[..., None]
    columns = torch.arange(grid[1], device=down.device) + right[..., None]
    return rows, columns


def _in_pixels(index: Tensor, side: int) -> Tensor:
    """Patches [..., h] -> pixels [..., h * side]."""
    return (index[..., None] * side + torch.arange(side, device=index.device)).flatten(-2)


def _inside(index: Tensor, size: int) -> Tensor:
    return (index >= 0) & (index < size)


def _within(index: Tensor, size: int, *, reflect: bool) -> Tensor:
    """Bring indices into 0..size - 1, by reflection at the border pixels or to the nearest."""
    if not reflect:
        return index.clamp(0, size - 1)
    return (size - 1) - (size - 1 - index.abs()).abs()
