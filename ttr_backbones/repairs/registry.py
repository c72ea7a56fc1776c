"""The repairs there are, and what is done with them: fit, load, apply, remove, describe."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from ttr_backbones.errors import InputError, unknown_name
from ttr_backbones.images.batches import ImageBatches, Progress, image_batches
from ttr_backbones.repairs.artifact import Artifact
from ttr_backbones.repairs.repair import Repair
from ttr_backbones.repairs.training_log import OnStep, TrainingLog
from ttr_backbones.vits.class_swap import check_plain, restored_eval, unmix_all
from ttr_backbones.vits.neurons import RegisterNeurons, model_name
from ttr_backbones.vits.weights_hash import weights_hash

REPAIRS: dict[str, Repair] = {}
"""Type of a repair -> the repair. Modules of this package are found by themselves; others call
`register_repair` and are imported by a config's `custom_imports`."""

_Kind = TypeVar("_Kind", bound=type[Repair])


def register_repair(kind: _Kind) -> _Kind:
    """Add a `Repair`, as the decorator of its class.

    Raises:
        InputError: another class has its type.
    """
    known = REPAIRS.get(kind.type)
    if known is not None and type(known).__qualname__ != kind.__qualname__:
        raise InputError(
            f"two repairs are called {kind.type!r}: {type(known).__qualname__} and "
            f"{kind.__qualname__}. Give one another `type`"
        )
    REPAIRS[kind.type] = kind()
    return kind


def repair_named(name: Any) -> Repair:
    """Return the repair of a type.

    Raises:
        InputError: there is none.
    """
    if name not in REPAIRS:
        raise InputError(
            f"{unknown_name('type of repair', str(name), REPAIRS)} One of your own is known when "
            "its module is imported, as by custom_imports of a config."
        )
    return REPAIRS[name]


def fit_repair(
    type: str,  # noqa: A002 -- as in configs
    vit: nn.Module,
    images: Tensor | str | Path | Iterable[Any] | ImageBatches,
    *,
    batch_size: int = 8,
    progress: Progress | None = None,
    on_step: OnStep | None = None,
    **options: Any,
) -> Artifact:
    """Fit a repair to a model on images.

    The artifact's provenance says under `fit` how long it took, on how many images, and of a
    training what `TrainingLog.facts` has.

    Args:
        type: of the repair, a key of `REPAIRS`.
        vit: a timm ViT without a repair; afterwards as it came.
        images: whatever `image_batches` takes.
        batch_size: images per batch.
        progress: called with (images done, images in all or None) after every batch.
        on_step: called with (steps done, steps in all, loss) after every step of a training.
        options: the repair's own, see its `fit_options`.

    Raises:
        InputError: no such repair or option, a model that is repaired already, or images that
            cannot be used; see also the repair's `fit`.
    """
    repair = repair_named(type)
    check_names(repair, options, repair.fit_options, "fit_repair")
    check_plain(vit)
    batches = image_batches(images, vit, batch_size=batch_size, progress=progress)
    log, start = TrainingLog(on_step), time.perf_counter()
    if repair.trains:
        options["log"] = log
    with restored_eval(vit):
        artifact = repair.fit(vit, batches, **options)
    fit = {
        "seconds": round(time.perf_counter() - start, 3),
        "num_images": batches.num_images,
        **(log.facts if repair.trains else {}),
    }
    provenance = {**artifact.provenance, "fit": fit}
    return _bound(dataclasses.replace(artifact, provenance=provenance), vit)


def example_artifact(
    type: str,  # noqa: A002
    vit: nn.Module,
    images: Tensor,
    neurons: RegisterNeurons | Mapping[int, list[int]],
) -> Artifact:
    """Make an artifact that costs at run time what a good one costs; see `Repair.example`."""
    listed = neurons if isinstance(neurons, RegisterNeurons) else RegisterNeurons("", neurons)
    check_plain(vit)
    with restored_eval(vit):
        artifact = repair_named(type).example(vit, image_batches(images, vit), listed)
    return _bound(artifact, vit)


def _bound(artifact: Artifact, vit: nn.Module) -> Artifact:
    """Let the artifact go with the weights of `vit` alone."""
    bound = {**artifact.provenance, "weights_sha256": weights_hash(vit)}
    model = artifact.model or model_name(vit)
    return dataclasses.replace(artifact, model=model, provenance=bound)


def load_repair(path: str | Path) -> Artifact:
    """Read an artifact that `Artifact.save` wrote, or a JSON list of register neurons.

    Raises:
        MissingFileError: no such file.
        InputError: it cannot be read, or no repair of its type is known.
    """
    suffix = Path(path).suffix
    readers = [repair.read for repair in REPAIRS.values() if repair.suffix == suffix]
    artifact = (readers[0] if len(readers) == 1 else Artifact.load)(path)
    try:
        repair_named(artifact.type).check(artifact)
    except InputError as error:
        raise InputError(f"{path}: {error}") from error
    return artifact


def apply_repair(vit: nn.Module, artifact: Artifact, **options: Any) -> nn.Module:
    """Repair a model in place.

    Args:
        vit: a timm ViT without a repair. If this fails, it is as it was.
        artifact: from `fit_repair` or `load_repair`.
        options: the repair's own, see its `options`; they count more than the artifact's.

    Returns:
        `vit`, ready to use at every batch and input size; `remove_repair` undoes it.

    Raises:
        InputError: a model that is repaired already, is not the artifact's or has other weights;
            or an option that does not exist.
    """
    repair = repair_named(artifact.type)
    check_names(repair, options, repair.options, "apply_repair")
    check_plain(vit)
    repair.check(artifact)
    artifact.check_weights(vit, repair.command())
    try:
        with torch.no_grad():
            repair.apply(vit, artifact, **options)
    except BaseException:
        unmix_all(vit)
        raise
    return vit


def remove_repair(vit: nn.Module) -> nn.Module:
    """Take the repair off: `vit` is again, bit for bit, what it was.

    Raises:
        InputError: there is none on it.
    """
    repair = repair_of(vit)
    if repair is None:
        raise InputError("this model has no repair to remove")
    repair.remove(vit)
    return vit


def repair_of(vit: nn.Module) -> Repair | None:
    """Return the repair that is on `vit`, or None."""
    return next((repair for repair in REPAIRS.values() if repair.is_on(vit)), None)


def describe_repair(vit: nn.Module) -> dict[str, Any] | None:
    """Return as plain data what is done to `vit`, equal where the same is done, or None."""
    repair = repair_of(vit)
    return None if repair is None else {"type": repair.type, **repair.describe(vit)}


def check_names(repair: Repair, options: Iterable[str], known: Iterable[str], caller: str) -> None:
    """Check the names of options.

    Raises:
        InputError: one does not exist; the message lists those that do.
    """
    known = list(known)
    for option in options:
        if option not in known:
            what = f"option of {caller} with type={repair.type!r}"
            raise InputError(unknown_name(what, option, known))
