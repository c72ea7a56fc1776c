"""One picture of a neuron search: norms of every block, the ranking, and how many neurons it takes.

It answers three questions from left to right: where are the outliers, and are they gone? Which
neurons write them? How few of them suffice, and what does the rest of the image pay?
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from torch import nn

from ttr_backbones.atomic import writing_atomically
from ttr_backbones.images.batches import ImageBatches
from ttr_backbones.neuron_search.onset import block_norms
from ttr_backbones.neuron_search.thresholds import NormHistogram
from ttr_backbones.neuron_search.tune import TunedNeurons
from ttr_backbones.registers import (
    FoundNeurons,
    add_test_time_registers,
    remove_test_time_registers,
)
from ttr_backbones.repairs.judgement import percent

WITHOUT, WITH, OTHER = "#c8501e", "#1f6fb4", "#b9bdc4"
RANKED = 30
MOST_IMAGES = 64


@dataclass(frozen=True)
class BlockNorms:
    """Patch norms after every block; each list has one value per block.

    Args:
        largest: the largest norm.
        median: the median norm.
    """

    largest: list[float]
    median: list[float]


def norms_before_and_after(
    vit: nn.Module, found: FoundNeurons, images: ImageBatches
) -> tuple[BlockNorms, BlockNorms]:
    """Measure the patch norms of every block without and with the neurons moved to registers.

    Args:
        vit: the model, without registers; left so.
        found: the neurons.
        images: a quarter of them is looked at, at most 64: those that `tune_register_neurons`
            holds out by default.
    """
    if images.num_images is not None and images.num_images >= 4:
        images = images.split(min(0.25, MOST_IMAGES / images.num_images))[1]
    before = _block_norms(block_norms(vit, images))
    add_test_time_registers(vit, found, found.num if isinstance(found, TunedNeurons) else 1)
    try:
        return before, _block_norms(block_norms(vit, images))
    finally:
        remove_test_time_registers(vit)


def draw_search(
    found: FoundNeurons, norms: tuple[BlockNorms, BlockNorms], path: str | Path
) -> None:
    """Draw the picture of a search.

    Args:
        found: the neurons; the third panel is there only if they were tuned.
        norms: without and with registers, from `norms_before_and_after`.
        path: the PNG to write.
    """
    tuned = isinstance(found, TunedNeurons)
    figure = Figure(figsize=(14.5 if tuned else 9.8, 4.6), dpi=150, layout="constrained")
    FigureCanvasAgg(figure)
    figure.suptitle(_heading(found), fontsize=12, x=0.01, ha="left")
    panels = figure.add_gridspec(2, 3 if tuned else 2, wspace=0.06)
    _draw_norms(figure.add_subplot(panels[:, 0]), found, *norms)
    _draw_ranking(figure.add_subplot(panels[:, 1]), found)
    if isinstance(found, TunedNeurons):
        left = figure.add_subplot(panels[0, 2])
        _draw_curve(left, figure.add_subplot(panels[1, 2], sharex=left), found)
    for axis in figure.axes:
        axis.spines[["top", "right"]].set_visible(False)
        axis.tick_params(labelsize=8)
    with writing_atomically(path) as partial:
        figure.savefig(partial, format="png")


def _block_norms(histograms: list[NormHistogram]) -> BlockNorms:
    return BlockNorms(
        [h.logs[h.counts.nonzero().max()].exp().item() for h in histograms],
        [h.median() for h in histograms],
    )


def _heading(found: FoundNeurons) -> str:
    neurons = f"{len(found)} neuron{'s' * (len(found) != 1)}"
    if not isinstance(found, TunedNeurons):
        return f"{found.model}: the {neurons} most active at outliers (not tuned)"
    registers = "a test-time register" if found.num == 1 else f"{found.num} test-time registers"
    result = "" if found.passed else "FAILED, "
    return (
        f"{found.model}: {neurons} moved to {registers}\n{result}outliers "
        f"{percent(found.outliers_before)} → {percent(found.outliers_after)} of the patches, "
        f"cosine of the others {found.cosine:.3f}, on {found.num_held_out} held-out images"
    )


def _draw_norms(axis: Any, found: FoundNeurons, before: BlockNorms, after: BlockNorms) -> None:
    blocks = range(len(before.largest))
    for side, colour, name in ((before, WITHOUT, "without"), (after, WITH, "with register")):
        axis.plot(blocks, side.largest, "o-", color=colour, markersize=4, label=f"largest, {name}")
        axis.plot(blocks, side.median, ":", color=colour, label=f"median, {name}")
    axis.axhline(found.threshold, color="black", linewidth=0.8, linestyle=(0, (6, 4)))
    axis.annotate(
        f"outlier: above {found.threshold:.3g} (block {found.detect_block})",
        (0, found.threshold),
        xytext=(0, 3),
        textcoords="offset points",
        fontsize=8,
    )
    axis.set_yscale("log")
    axis.yaxis.set_major_formatter("{x:g}")
    axis.xaxis.set_major_locator(MaxNLocator(integer=True))
    axis.set_xlabel("after block", fontsize=9)
    axis.set_title("Patch norm", fontsize=10, loc="left")
    axis.legend(fontsize=8, frameon=False, loc="upper left")


def _draw_ranking(axis: Any, found: FoundNeurons) -> None:
    rows = found.ranking[:RANKED]
    chosen = {(block, unit) for block, units in found.layers.items() for unit in units}
    scores = [score for _, _, score in rows]
    for name, colour, moved in (("moved", WITHOUT, True), ("left alone", OTHER, False)):
        places = [
            i for i, (block, unit, _) in enumerate(rows) if ((block, unit) in chosen) == moved
        ]
        values = [scores[i] for i in places]
        axis.hlines(places, scores[-1] / 2, values, color=colour, linewidth=1.2)
        axis.plot(values, places, "o", color=colour, markersize=5, label=name)
    # Scores span decades: on a linear axis all but the first would look like zero.
    axis.set_xscale("log")
    axis.xaxis.set_major_formatter("{x:g}")
    axis.set_xlim(left=scores[-1] / 2)
    axis.set_yticks(range(len(rows)), [f"{block}:{unit}" for block, unit, _ in rows])
    axis.set_ylim(len(rows) - 0.4, -0.6)
    axis.set_xlabel("mean |activation| at outliers (log scale)", fontsize=9)
    axis.set_title(f"Neurons (block:unit), the first {len(rows)}", fontsize=10, loc="left")
    axis.legend(fontsize=8, frameon=False, loc="lower right")


def _draw_curve(left: Any, similar: Any, found: TunedNeurons) -> None:
    """Heads of the ranking against what they leave; the chosen set and the controls beside them."""
    heads = {p["k"]: p for p in found.curve if p["step"] == "ranking"}  # of the last range tried
    counts = sorted(heads)
    to_percent = 100 / found.outliers_before

    def draw(outliers: list[float], cosines: list[float], x: list[int], style: Any) -> None:
        left.plot(x, [to_percent * share for share in outliers], **style)
        similar.plot(x, cosines, **style)

    outliers = [found.outliers_before, *(heads[n]["outliers"] for n in counts)]
    cosines = [1.0, *(heads[n]["cosine"] for n in counts)]
    line = {"color": WITH, "marker": "o", "markersize": 4, "label": "best k of the ranking"}
    draw(outliers, cosines, [0, *counts], line)
    star = {"color": WITHOUT, "marker": "*", "markersize": 14, "linestyle": "", "label": "chosen"}
    draw([found.outliers_after], [found.cosine], [len(found)], star)
    for name, marker, label in (
        ("random", "x", "random neurons"),
        ("zeroed", "s", "cleared, no register"),
    ):
        control = found.controls[name]
        style = {"color": "black", "marker": marker, "fillstyle": "none", "linestyle": ""}
        style["label"] = label
        draw([control["outliers"]], [control["cosine"]], [len(found)], style)
    left.set_ylim(-6, 106)
    left.set_title("Outliers left, % of those before", fontsize=10, loc="left")
    left.legend(fontsize=8, frameon=False, loc="upper right")
    left.tick_params(labelbottom=False)
    similar.set_title("Cosine of all other patches to before", fontsize=10, loc="left")
    similar.set_xlabel("neurons moved", fontsize=9)
    similar.xaxis.set_major_locator(MaxNLocator(integer=True))
