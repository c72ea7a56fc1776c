"""Comparing the normalisation of the images with what the backbone was trained on."""

from __future__ import annotations

from typing import Any

import torch
from mmengine.hooks import Hook
from mmseg.registry import HOOKS
from torch import nn

from ttr_backbones.engine.unwrap import unwrapped


@HOOKS.register_module()
class CheckNormalization(Hook):
    """Warns when the data_preprocessor normalises unlike the backbone's pretraining.

    A warning and not an error, because published protocols do it (ImageNet's mean and std for
    CLIP). A backbone without `mean` and `std` is not checked.
    """

    def before_run(self, runner: Any) -> None:
        """Compare once, before training or testing."""
        model = unwrapped(runner.model)
        problem = normalization_problem(model)
        end_range_check(model)
        if problem is not None:
            runner.logger.warning(problem)


def normalization_problem(model: nn.Module) -> str | None:
    """Return what differs between `model.data_preprocessor` and `model.backbone`, or None."""
    backbone = getattr(model, "backbone", None)
    expected = {name: getattr(backbone, name, None) for name in ("mean", "std")}
    if any(value is None for value in expected.values()):
        return None
    preprocessor = getattr(model, "data_preprocessor", None)
    differing = []
    for name, value in expected.items():
        used = getattr(preprocessor, name, None)
        trained = torch.as_tensor(value, dtype=torch.float32).flatten()
        have = None if used is None else used.detach().float().cpu().flatten()
        if (
            have is None
            or have.shape != trained.shape
            or not torch.allclose(have, trained, atol=0.02)
        ):
            differing.append(
                f"{name}: the config has {None if have is None else _rounded(have)}, the backbone "
                f"was trained with {_rounded(trained)}"
            )
    if not differing:
        return None
    return (
        f"model.data_preprocessor normalises unlike the backbone's pretraining. "
        f"{'; '.join(differing)}. Set model.data_preprocessor.mean and .std to the backbone's, "
        "unless the protocol you follow asks for this."
    )


def end_range_check(model: nn.Module) -> None:
    """Keep the backbone from checking the range of its first images.

    That check only guesses at what `normalization_problem` knows: call this after it.
    """
    backbone: Any = getattr(model, "backbone", None)
    if backbone is not None:
        backbone.input_checked = True


def _rounded(values: torch.Tensor) -> list[float]:
    return [round(value, 3) for value in values.tolist()]
