"""Pictures of classification: the photograph beside its best classes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from numpy.typing import NDArray

_RIGHT, _OTHER = "#009e73", "#56b4e9"  # Okabe and Ito's, which colour-blind readers tell apart
_LONGEST = 28  # letters of a name


def draw_classes(
    image: NDArray[np.uint8],
    classes: Sequence[str],
    scores: NDArray[Any] | Sequence[float],
    *,
    title: str,
    truth: str | None = None,
) -> NDArray[np.uint8]:
    """Draw a photograph on the left and its best classes as bars on the right.

    Args:
        image: RGB [H, W, 3].
        classes: names of the best classes, best first.
        scores: their probabilities, or other numbers from 0 to 1.
        title: name of the image.
        truth: name of the true class, if it is known; its bar has another colour.

    Returns:
        The picture, RGB, 900 x 420 pixels.
    """
    figure = Figure(figsize=(9, 4.2), dpi=100, layout=ConstrainedLayoutEngine(h_pad=0.12))
    canvas = FigureCanvasAgg(figure)
    left, right = figure.subplots(1, 2)
    left.imshow(image)
    left.set(xticks=[], yticks=[])
    left.set_title(title if truth is None else f"{title}\ntrue class: {truth}", fontsize=12)
    places = range(len(classes))
    colours = [_RIGHT if name == truth else _OTHER for name in classes]
    right.barh(places, list(scores), color=colours)
    right.set(xlim=(0, 1), ylim=(len(classes) - 0.4, -0.6), xlabel="probability")
    names = [n if len(n) <= _LONGEST else f"{n[: _LONGEST - 1]}…" for n in classes]
    right.set_yticks(places, labels=names, fontsize=11)
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())[..., :3].copy()
