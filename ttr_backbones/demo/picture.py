"""The demo's picture: one scene, its patch norms and the answers, three models side by side."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator
from PIL import Image

from ttr_backbones.demo.panels import Panel
from ttr_backbones.demo.train import DemoResult


def save_picture(path: Path, scenes: Path, results: Mapping[str, DemoResult], panel: Panel) -> None:
    """Show the validation scene whose answer planting spoils most, as a PNG.

    Args:
        path: the PNG to write.
        scenes: folder that `write_scenes` filled.
        results: {name of the model: what it gives on all validation scenes}, in columns; before
            planting first, planted second.
        panel: how the task's answers are drawn.
    """
    before, planted, *_ = results.values()
    truths = [panel.truth(scenes, scene) for scene in range(len(before.answers))]
    spoiled = [
        panel.quality(clean.numpy(), truth) - panel.quality(hurt.numpy(), truth)
        for clean, hurt, truth in zip(before.answers, planted.answers, truths, strict=True)
    ]
    index = int(np.argmax(spoiled))
    truth = truths[index]
    image = np.asarray(Image.open(scenes / "images" / "val" / f"{index:04d}.png"))
    norms = {name: result.norms[index].numpy() for name, result in results.items()}
    scale = LogNorm(
        vmin=min(float(norm_map.min()) for norm_map in norms.values()),
        vmax=max(float(norm_map.max()) for norm_map in norms.values()),
    )
    figure = Figure(figsize=(3 * (len(results) + 1), 7.2), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots(2, len(results) + 1)
    for axis in axes.flat:
        axis.set(xticks=[], yticks=[])
    axes[0, 0].imshow(image)
    axes[0, 0].set_title("scene")
    panel.draw(axes[1, 0], image, truth)
    axes[1, 0].set_title("ground truth")
    for column, (name, result) in enumerate(results.items(), start=1):
        shown = axes[0, column].imshow(norms[name], norm=scale, cmap="cividis")
        axes[0, column].set_title(f"{name}\nlargest norm {norms[name].max():.1f}")
        answer = result.answers[index].numpy()
        panel.draw(axes[1, column], image, answer)
        axes[1, column].set_title(panel.headline(panel.quality(answer, truth)))
    bar = figure.colorbar(shown, ax=axes[0, 1:], label="patch norm, last block (log scale)")
    bar.ax.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    bar.ax.yaxis.set_major_formatter("{x:g}")
    bar.minorticks_off()
    legend = panel.legend()
    figure.legend(handles=legend, loc="outside lower center", ncols=len(legend), frameon=False)
    figure.suptitle(
        "A small random ViT with PLANTED register neurons, on the validation scene they spoil most"
    )
    figure.savefig(path, dpi=110)
