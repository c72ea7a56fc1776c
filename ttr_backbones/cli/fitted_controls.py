"""Controls of repairs on the command line, and fitting those that have to be fitted."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ttr_backbones.app.progress import ProgressBar, StepBar
from ttr_backbones.errors import InputError

if TYPE_CHECKING:
    from torch import nn

CONTROLS = (
    "behind any of these, :random (test_time, projection, sinder), :cleared (test_time), :noise or "
    ":shuffled (ph_reg) is a control of it, as in sinder.safetensors:random"
)


def add_fit_images(parser: argparse.ArgumentParser) -> None:
    """Add the photographs that controls are fitted on."""
    parser.add_argument(
        "--fit-images",
        type=Path,
        metavar="DIR",
        help="the photographs that an artifact of sinder was fitted on: its control is trained on "
        "them once, as long as it was, and kept beside it",
    )


def unfitted_controls(texts: Sequence[str], folder: Path | None) -> list[str]:
    """Return what of `--repairs` is a control that has to be fitted before it can be used.

    Raises:
        MissingFileError: no such artifact or folder.
        InputError: no folder of photographs for it; no such control.
    """
    from ttr_backbones.images.photos import photo_files
    from ttr_backbones.repairs.controls import fitted_control, is_stored

    waiting = [text for text in texts if fitted_control(text) is not None and not is_stored(text)]
    if waiting and folder is None:
        raise InputError(
            f"--repairs {waiting[0]}: this control has to be trained: give the photographs that "
            "its artifact was fitted on with --fit-images DIR"
        )
    if folder is not None:
        photo_files(folder)
    return waiting


def fit_controls(
    waiting: Sequence[str], vit: nn.Module, folder: Path | None, bar: ProgressBar
) -> None:
    """Fit controls of `vit` and say where each is kept.

    Raises:
        InputError: see `fit_control`.
    """
    from ttr_backbones.repairs.controls import fit_control

    if folder is None:
        return  # `unfitted_controls` has seen to it that there is none to fit
    for text in waiting:
        path = fit_control(text, vit, folder, progress=bar, on_step=StepBar(bar.line))
        bar.close()
        print(f"trained the control {text}: {path}", flush=True)


def fitted_control_file(text: str) -> str:
    """Return the file of a control that was fitted; of anything else `text` itself."""
    from ttr_backbones.repairs.controls import fitted_control

    return str(fitted_control(text) or text)
