"""The loss of a repair's training: as a picture and as a line of text."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from ttr_backbones.atomic import writing_atomically

_LEVELS = "▁▂▃▄▅▆▇█"
_WIDTH = 40  # of the line


def draw_loss(curve: Sequence[tuple[int, float]], path: Path, *, title: str) -> None:
    """Draw a loss curve.

    Args:
        curve: (step, loss).
        path: the PNG to write.
        title: above it.
    """
    figure = Figure(figsize=(6.4, 3.2), dpi=150, layout="constrained")
    FigureCanvasAgg(figure)
    axis = figure.subplots()
    steps, losses = zip(*curve, strict=True)
    axis.plot(steps, losses, color="#0072b2", lw=1, marker="." if len(curve) < 30 else None)
    axis.set_title(title, fontsize=9)
    axis.set_xlabel("step", fontsize=8)
    axis.set_ylabel("loss", fontsize=8)
    axis.set_ylim(bottom=min(0.0, *losses))
    axis.tick_params(labelsize=7)
    axis.grid(color="0.9", lw=0.6)
    axis.spines[["top", "right"]].set_visible(False)
    with writing_atomically(path) as partial:
        figure.savefig(partial, format="png")


def loss_line(
    curve: Sequence[tuple[int, float]], steps: int | None = None, trained: int | None = None
) -> str:
    """Write a loss curve in one line: bars, where it begins and ends, and how many steps it took.

    Args:
        curve: (step, loss).
        steps: that ran; by default to the last of the curve.
        trained: those of them that trained, where not all did.
    """
    ran = curve[-1][0] if steps is None else steps
    which = "" if trained in (None, ran) else f", {trained} of which trained"
    losses = [loss for _, loss in curve]
    count = min(_WIDTH, len(losses))
    parts = [
        losses[i * len(losses) // count : (i + 1) * len(losses) // count] for i in range(count)
    ]
    means = [sum(part) / len(part) for part in parts]
    low, high = min(means), max(means)
    reach = (high - low) or 1.0
    bars = "".join(_LEVELS[round((mean - low) / reach * (len(_LEVELS) - 1))] for mean in means)
    return f"{bars} {losses[0]:.4g} to {losses[-1]:.4g} in {ran} steps{which}"
