"""What the page draws, as small JSON: maps over the photograph as bytes, and JPEGs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ttr_backbones.attribution_page.comparison import KINDS, SHORT, Comparison, ModelAnswer, Pair
from ttr_backbones.attribution_page.numbers import HALF
from ttr_backbones.report.page_data import colour_table, jpeg, quantize
from ttr_backbones.vlm.canvas import canvas_size, laid_over
from ttr_backbones.vlm.measures import photograph_map


def page_data(comparison: Comparison, questions: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Gather what `page.js` reads.

    Args:
        comparison: of `compare`, as far as it is shown.
        questions: of `numbers`, the same.

    Returns:
        Plain data. Maps are uint8 q of the value low * (high / low) ** ((q - 1) / 254), 0 where the
        model sees nothing, row by row, deflated and in base64: attention over the photograph as
        multiples of uniform attention, the mean over the answer's tokens first; patch norms.
    """
    return {
        "kinds": list(KINDS),
        "short": list(SHORT),
        "threshold": comparison.threshold,
        "questions": [
            {
                "name": pair.question.name,
                "prompt": pair.question.prompt,
                "noun": pair.question.noun,
                "boxes": pair.question.relative_boxes,
                "changes": pair.changes,
                "photo": jpeg(np.asarray(pair.question.image)),
                "aspect": pair.question.image.width / pair.question.image.height,
                "numbers": found["kinds"],
                **_maps(pair),
            }
            for pair, found in zip(comparison.pairs, questions, strict=True)
        ],
        "colours": {"attention": colour_table("inferno"), "norm": colour_table("viridis")},
    }


def _maps(pair: Pair) -> dict[str, Any]:
    place = pair.answers[0].attribution.place
    size = canvas_size(place.boxes, place.grid)
    seen = laid_over(torch.ones_like(pair.answers[0].attribution.norms), place.boxes, size) > 0
    attention = [_relative(answer, seen) for answer in pair.answers]
    norms = [_norms(answer, size) for answer in pair.answers]
    tokens = [answer.attribution.tokens for answer in pair.answers]
    return {
        "size": list(size),
        "tokens": tokens,
        "attention": quantize(attention, seen=seen),
        "norm": quantize(norms, seen=seen),
    }


def _relative(answer: ModelAnswer, seen: Tensor) -> Tensor:
    """Attention as multiples of uniform attention, the mean of all tokens first, [1 + T, y, x]."""
    maps = photograph_map(answer.attribution)
    share = maps / maps.sum(dim=(1, 2), keepdim=True).clamp(min=1e-30)
    return torch.cat([share.mean(dim=0, keepdim=True), share]) * seen.sum()


def _norms(answer: ModelAnswer, size: tuple[int, int]) -> Tensor:
    """The largest norm of the tiles over each cell; a cell between patches has their mean."""
    place, norms = answer.attribution.place, answer.attribution.norms
    found = torch.zeros(size)
    for tile in range(len(norms)):
        boxes = place.boxes[tile : tile + 1]
        area = laid_over(torch.ones_like(norms[:1]), boxes, size)
        weighted = laid_over(norms[tile : tile + 1], boxes, size)
        covered = area > HALF * area.max()  # cells at its border would hold noise
        found = torch.where(covered, torch.maximum(found, weighted / area.clamp(min=1e-12)), found)
    return found.unsqueeze(0)
