"""From a map of how much a place counts to a mask of the foreground."""

from __future__ import annotations

from torch import Tensor


def foreground(maps: Tensor) -> tuple[Tensor, Tensor]:
    """Stretch every map to 0..1, and take what is above its mean.

    What is below 0 counts as 0, and a map without any range is background everywhere: as in the
    evaluation of clip_text_span, which does it for one image at a time.

    Args:
        maps: [B, H, W].

    Returns:
        The mask, bool [B, H, W], and the scores of the foreground, 0 to 1, and of the background,
        1 minus that, [B, 2, H, W], background first; both are 0 where the map has no range.
    """
    maps = maps.clamp(min=0)
    low, high = maps.amin((1, 2), keepdim=True), maps.amax((1, 2), keepdim=True)
    scores = (maps - low) / (high - low)  # NaN without a range
    mask = scores > scores.mean((1, 2), keepdim=True)
    both = maps.new_empty(len(maps), 2, *maps.shape[1:])
    both[:, 0], both[:, 1] = 1 - scores, scores
    return mask, both.nan_to_num(nan=0.0)
