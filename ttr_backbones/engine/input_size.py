"""Says when a register-neuron list is used far from the input size that it was found at."""

from __future__ import annotations

from typing import Any

from mmengine.hooks import Hook
from mmseg.registry import HOOKS

from ttr_backbones.engine.unwrap import unwrapped
from ttr_backbones.neuron_search.provenance import FAR


@HOOKS.register_module()
class CheckInputSize(Hook):
    """Compares the config's crop with the `input_size` in the list's provenance, before a run."""

    def before_run(self, runner: Any) -> None:
        """Warn if they differ by more than a factor of 1.5."""
        message = input_size_warning(unwrapped(runner.model))
        if message:
            runner.logger.warning(message)


def input_size_warning(model: Any) -> str | None:
    """Return a warning for a segmentor whose list was found at another size, else None."""
    vit = getattr(getattr(model, "backbone", None), "vit", None)
    neurons: Any = getattr(vit, "register_neurons", None)
    calibrated = neurons and neurons.provenance.get("input_size")
    crop = getattr(getattr(model, "data_preprocessor", None), "size", None)
    if not calibrated or not crop:
        return None
    size = max(crop)
    if max(size / calibrated, calibrated / size) <= FAR:
        return None
    return (
        f"The register neurons were found at {calibrated} px, this run uses crops of {size} px. "
        f"Lists do not always carry over: check with `ttrb verify {neurons.model} --neurons FILE "
        f"--images DIR --size {size}`, or search again with `ttrb find-neurons ... --size {size}`."
    )
