"""Controls of repairs by name: WHAT:CONTROL, where WHAT is a repair's type, or a file of it.

Most are derived: `apply` puts something else in place of what was fitted. What was trained towards
something has to be trained again towards something else, on the same images, from the same seed and
with the same budget (SINDER); such a control is kept beside the artifact that it belongs to.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import nn

from ttr_backbones.errors import InputError, unknown_name
from ttr_backbones.images.batches import Progress, image_batches
from ttr_backbones.neuron_search.provenance import files_hash
from ttr_backbones.repairs.artifact import Artifact
from ttr_backbones.repairs.registry import fit_repair, load_repair, repair_named
from ttr_backbones.repairs.training_log import OnStep

_OF = "control_of"  # in the provenance of a control that was fitted


def split_control(text: str) -> tuple[str, str]:
    """Take WHAT:CONTROL apart; the second is "" where there is none."""
    what, colon, control = text.rpartition(":")
    return (what, control) if colon and re.fullmatch(r"\w+", control) else (text, "")


def with_control(repair: Mapping[str, Any], control: str) -> dict[str, Any]:
    """Return a config's `repair` that is a control of another one.

    Args:
        repair: of a config, with `type`.
        control: its name; "" changes nothing.

    Raises:
        InputError: the repair has no such control, or one that has to be fitted.
    """
    if not control:
        return dict(repair)
    check_control(str(repair["type"]), control)
    if is_fitted(str(repair["type"])):
        raise InputError(
            f"the control {control!r} of type={repair['type']!r} has to be trained: name the "
            f"artifact that it belongs to, as in FILE.safetensors:{control}, and the photographs "
            "that were trained on, with --fit-images DIR"
        )
    return {**repair, "control": control}


def check_control(kind: str, control: str) -> None:
    """Check that a type of repair has a control.

    Raises:
        InputError: it has not.
    """
    known = repair_named(kind).controls
    if not known:
        raise InputError(f"{kind}:{control}: a repair of type {kind!r} has no control")
    if control not in known:
        raise InputError(unknown_name(f"control of {kind}", control, known))


def is_fitted(kind: str) -> bool:
    """Whether the controls of a type of repair have to be fitted."""
    return "control" not in repair_named(kind).options


def fitted_control(text: str) -> Path | None:
    """Return where the control that a word of the command line names is kept.

    Returns:
        None for what names no control, or one that needs no fit.

    Raises:
        MissingFileError: no such artifact.
        InputError: no such control.
    """
    what, control = split_control(text)
    path = Path(what)
    if not control or path.suffix != ".safetensors":
        return None
    kind = load_repair(path).type
    check_control(kind, control)
    return path.with_name(f"{path.stem}.{control}{path.suffix}") if is_fitted(kind) else None


def is_stored(text: str) -> bool:
    """Whether the fitted control that `text` names lies where `fitted_control` says."""
    kept = fitted_control(text)
    if kept is None or not kept.is_file():
        return False
    parent = load_repair(split_control(text)[0])
    return bool(load_repair(kept).provenance.get(_OF) == parent.sha256)


def fit_control(
    text: str,
    vit: nn.Module,
    folder: str | Path,
    *,
    progress: Progress | None = None,
    on_step: OnStep | None = None,
) -> Path:
    """Fit the control that `text` names as its artifact was fitted, and write it beside that.

    Args:
        text: FILE.safetensors:CONTROL.
        vit: the model that the artifact is of, without a repair.
        folder: the photographs that the artifact was fitted on.
        progress: called with (images done, images in all or None) after every batch.
        on_step: called with (steps done, steps in all, loss) after every step of a training.

    Returns:
        The file.

    Raises:
        MissingFileError: no such file or folder.
        InputError: another model, or other photographs.
    """
    what, control = split_control(text)
    kept, parent = fitted_control(text), load_repair(what)
    if kept is None:
        raise InputError(
            f"{text}: expected a control that has to be fitted, as in FILE.safetensors:CONTROL"
        )
    repair, settings = repair_named(parent.type), parent.provenance
    parent.check_weights(vit, repair.command())
    options = repair.control_options(parent, control)
    images = image_batches(
        folder,
        vit,
        batch_size=settings["batch_size"],
        size=settings.get("input_size"),
        num_images=settings.get("num_images"),
        progress=progress,
    )
    if files_hash(images) != settings.get("images_sha256"):
        raise InputError(
            f"{folder} holds other photographs than those that {what} was fitted on (names or "
            f"sizes differ): give the same {settings.get('num_images')} images, else the "
            "control says nothing"
        )
    fitted = fit_repair(parent.type, vit, images, on_step=on_step, **options)
    provenance = {**fitted.provenance, _OF: parent.sha256}
    dataclasses.replace(fitted, provenance=provenance).save(kept)
    return kept


def control_words(artifact: Artifact, options: Mapping[str, Any]) -> str:
    """Return the label of the control in tables; "" for the repair itself."""
    repair = repair_named(artifact.type)
    control = repair.control(artifact, options)
    return f"{repair.controls.get(control, control)} (control)" if control else ""
