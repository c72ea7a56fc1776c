"""Everything that there is to see of a model without and with registers, written to a folder."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray
from torch import Tensor, nn

from ttr_backbones.atomic import write_atomically, writing_atomically
from ttr_backbones.backbones.repair_options import add_repair
from ttr_backbones.errors import InputError, unknown_name
from ttr_backbones.registers import RegisterNeurons
from ttr_backbones.repairs import REPAIRS, remove_repair
from ttr_backbones.repairs.from_config import (
    DEFAULT,
    ConfiguredRepair,
    repair_options,
    with_neurons,
)
from ttr_backbones.report.columns import NONE, TRAINED
from ttr_backbones.report.figures.attention import draw_heads, draw_mean_attention
from ttr_backbones.report.figures.curves import DRAWN_FROM_NUMBERS
from ttr_backbones.report.figures.neuron import draw_neurons
from ttr_backbones.report.figures.norms import draw_norms_per_block
from ttr_backbones.report.figures.overview import draw_overview, draw_pca
from ttr_backbones.report.inspection import Inspection, inspect_model, registers_of
from ttr_backbones.report.page import write_page
from ttr_backbones.report.pca import PcaMaps, pca_maps
from ttr_backbones.vits.architecture_facts import ArchitectureFacts

MOST_DRAWN, MOST_ON_PAGE, MOST_NEURONS = 8, 16, 3


def inspect_columns(
    vit: nn.Module,
    images: Tensor,
    kinds: Sequence[str] = (NONE, DEFAULT),
    *,
    neurons: RegisterNeurons | None = None,
    choices: Sequence[ConfiguredRepair] = (),
    attention_blocks: Sequence[int] = (-1,),
    progress: Callable[[int, int | None], None] | None = None,
) -> list[Inspection]:
    """Inspect `vit` as it is, with repairs, or both; it is left as it was.

    Args:
        vit: a timm ViT without a repair, in eval mode.
        images: normalised, [B, 3, H, W].
        kinds: "none" is the model as it is, "trained" the same where it was trained with
            registers; the others are types of repairs.
        neurons: register neurons whose activations are noted for every kind; by default those of
            the first choice that has some. They are moved where no choice is made for
            "test_time".
        choices: the repairs, from `repair_options`; one for every type among `kinds`.
        attention_blocks: blocks whose CLS attention is recomputed.
        progress: called with (images done, images in all) after every image.

    Returns:
        One inspection per kind, the model as it is first.

    Raises:
        InputError: an unknown kind or none, "trained" for a model without trained registers, or
            a repair that was not chosen; see also `inspect_model` and `add_repair`.
    """
    _check_columns(vit, kinds)
    chosen = {choice.repair.type: choice for choice in choices}
    if neurons is not None:
        listed = repair_options("", with_neurons(neurons))
        chosen |= {} if listed is None or DEFAULT in chosen else {DEFAULT: listed}
    else:
        neurons = next((c.neurons for c in choices if c.neurons is not None), None)
    wanted = [kind for kind in dict.fromkeys(kinds) if kind in REPAIRS]
    for kind in wanted:
        if kind not in chosen:
            raise InputError(
                f"{kind!r} needs an artifact of this repair"
                + (", a list of register neurons" if kind == DEFAULT else "")
            )
    units = [] if neurons is None else [(b, u) for b, us in neurons.layers.items() for u in us]
    options: dict[str, Any] = {"attention_blocks": attention_blocks, "neurons": units}
    found = []
    if {NONE, TRAINED} & set(kinds):
        found.append(inspect_model(vit, images, **options, progress=progress))
    for kind in wanted:
        add_repair(vit, chosen[kind])
        try:
            found.append(inspect_model(vit, images, **options, progress=progress))
        finally:
            remove_repair(vit)
    return found


def _check_columns(vit: nn.Module, kinds: Sequence[str]) -> None:
    known = (NONE, TRAINED, *REPAIRS)
    for kind in kinds:
        if kind not in known:
            raise InputError(unknown_name("kind of registers", kind, known))
    if not kinds:
        raise InputError(f"expected at least one kind of registers, of {', '.join(known)}")
    if TRAINED in kinds and registers_of(vit) != TRAINED:
        raise InputError("this model was not trained with registers: leave 'trained' out")


def write_report(
    out: str | Path,
    inspections: Sequence[Inspection],
    images: NDArray[np.uint8],
    summary: dict[str, Any],
    *,
    foreground: bool = False,
    on_written: Callable[[Path], None] = lambda _: None,
    progress: Callable[[int, int | None], None] = lambda *_: None,
) -> None:
    """Write the pictures, `numbers.json` and `report.html`.

    The numbers are those of all images; pictures show the first 8 of them and the page 16.

    Args:
        out: the folder; it is made.
        inspections: of one model, one per kind of registers, the model as it comes first.
        images: what it was shown, RGB uint8 [B, H, W, 3].
        summary: what `summarize` says of them; the PCA's explained variance is added.
        foreground: draw the PCA maps of the foreground alone.
        on_written: called with the path of every written file.
        progress: called with (files written, files in all) before each of them is drawn.
    """
    out = Path(out)
    out.mkdir(parents=True, exist_ok=True)
    progress(0, None)
    pca = pca_maps(inspections, foreground=foreground)
    summary = {**summary, "pca": {"explained": pca.explained, "foreground": foreground}}
    numbers = out / "numbers.json"
    write_atomically(numbers, f"{json.dumps(summary, indent=1, allow_nan=False)}\n".encode())
    on_written(numbers)
    drawn = [inspection.first(MOST_DRAWN) for inspection in inspections]
    colours = replace(pca, maps=[maps[:MOST_DRAWN] for maps in pca.maps])
    figures = _figures(drawn, images[:MOST_DRAWN], colours, summary)
    count = len(figures) + 2  # the numbers and the page
    for index, (name, draw) in enumerate(figures.items(), start=1):
        progress(index, count)
        with writing_atomically(out / f"{name}.png") as unfinished:
            draw().savefig(unfinished, format="png")
        on_written(out / f"{name}.png")
    progress(count - 1, count)
    write_page(
        out / "report.html",
        [inspection.first(MOST_ON_PAGE) for inspection in inspections],
        images[:MOST_ON_PAGE],
        summary["images"][:MOST_ON_PAGE],
        summary,
    )
    on_written(out / "report.html")


def _figures(
    inspections: Sequence[Inspection],
    images: NDArray[np.uint8],
    pca: PcaMaps,
    summary: dict[str, Any],
) -> dict[str, Callable[[], Figure]]:
    """What draws each figure, by the name of its file."""
    block, title = summary["block"], heading(summary)
    above = f"{title}\n{summary['verdict']}"
    shown = (inspections, images)
    figures: dict[str, Callable[[], Figure]] = {
        "overview": partial(draw_overview, *shown, pca, block=block, title=above)
    }
    for where in inspections[0].attention:
        figures[f"attention_block{where}"] = partial(
            draw_mean_attention, *shown, where, title=title
        )
        figures[f"heads_block{where}"] = partial(draw_heads, *shown, where, title=title)
    figures["norms"] = partial(draw_norms_per_block, *shown, block, title=title)
    for name, draw in DRAWN_FROM_NUMBERS.items():
        figures[name] = partial(draw, summary, title=title)
    figures["pca"] = partial(draw_pca, *shown, pca, title=title)
    if strongest := strongest_neurons(summary):
        figures["neurons"] = partial(draw_neurons, *shown, strongest, block=block, title=title)
    return figures


def strongest_neurons(summary: dict[str, Any]) -> list[tuple[int, int]]:
    """The (block, unit) that fire most at outliers (without any, anywhere), at most three."""
    means = next(iter(summary["registers"].values()))["activations"]

    def strength(name: str) -> float:
        mean = means[name]
        return float(mean["elsewhere"] if mean["at_outliers"] is None else mean["at_outliers"])

    named = sorted(means, key=strength, reverse=True)[:MOST_NEURONS]
    return [(int(block), int(unit)) for block, unit in (name.split(":") for name in named)]


def heading(summary: dict[str, Any]) -> str:
    """Model, input size and number of images."""
    height, width = summary["size"]
    count = len(summary["images"])
    return f"{summary['model']}, {width} x {height} px, {count} image{'s' * (count != 1)}"


def as_shown(images: Tensor, facts: ArchitectureFacts) -> NDArray[np.uint8]:
    """Images [B, 3, H, W], normalised by `facts` of a model, -> RGB uint8 [B, H, W, 3]."""
    mean, std = (images.new_tensor(each).view(3, 1, 1).float() for each in (facts.mean, facts.std))
    pixels = ((images.float() * std + mean) * 255).round().clamp(0, 255)
    shown: NDArray[np.uint8] = pixels.permute(0, 2, 3, 1).byte().cpu().numpy()
    return shown
