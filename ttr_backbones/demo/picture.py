"""The demo's picture: one scene, its patch norms and its predictions, three models side by side."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from matplotlib.ticker import LogLocator
from numpy.typing import NDArray
from PIL import Image

from ttr_backbones.datasets.scenes import CLASSES, PALETTE
from ttr_backbones.demo.train import Trained


def save_picture(path: Path, scenes: Path, results: Mapping[str, Trained]) -> None:
    """Show the validation scene that holds most high norms, as a PNG.

    Args:
        path: the PNG to write.
        scenes: folder that `write_scenes` filled.
        results: {name of the model: what it gives on all validation scenes}, in columns.
    """
    index = int(torch.stack([one.norms for one in results.values()]).sum(dim=(0, 2, 3)).argmax())
    image = np.asarray(Image.open(scenes / "images" / "val" / f"{index:04d}.png"))
    truth = np.asarray(Image.open(scenes / "annotations" / "val" / f"{index:04d}.png"))
    norms = {name: result.norms[index].numpy() for name, result in results.items()}
    scale = LogNorm(
        vmin=min(float(one.min()) for one in norms.values()),
        vmax=max(float(one.max()) for one in norms.values()),
    )
    figure = Figure(figsize=(3 * (len(results) + 1), 7.2), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots(2, len(results) + 1)
    for axis in axes.flat:
        axis.set(xticks=[], yticks=[])
    axes[0, 0].imshow(image)
    axes[0, 0].set_title("scene")
    axes[1, 0].imshow(_coloured(truth))
    axes[1, 0].set_title("ground truth")
    for column, (name, result) in enumerate(results.items(), start=1):
        shown = axes[0, column].imshow(norms[name], norm=scale, cmap="cividis")
        axes[0, column].set_title(f"{name}\nlargest norm {norms[name].max():.1f}")
        predicted = result.predictions[index].numpy()
        axes[1, column].imshow(_coloured(predicted))
        axes[1, column].set_title(f"prediction: {np.mean(predicted == truth):.1%} of pixels right")
    bar = figure.colorbar(shown, ax=axes[0, 1:], label="patch norm, last block (log scale)")
    bar.ax.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    bar.ax.yaxis.set_major_formatter("{x:g}")
    bar.minorticks_off()
    figure.legend(
        handles=[
            Patch(facecolor=np.array(colour) / 255, label=name, edgecolor="grey")
            for name, colour in zip(CLASSES, PALETTE, strict=True)
        ],
        loc="outside lower center",
        ncols=len(CLASSES),
        frameon=False,
    )
    figure.suptitle(
        "A small random ViT with PLANTED register neurons, on the validation scene they hit most"
    )
    figure.savefig(path, dpi=110)


def _coloured(mask: NDArray[np.integer]) -> NDArray[np.uint8]:
    """Class ids [H, W] -> RGB [H, W, 3]."""
    return np.array(PALETTE, dtype=np.uint8)[mask]
