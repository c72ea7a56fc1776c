"""Whether an exported file gives what the model gives."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import torch

from ttr_backbones.export.exportable import Run

TOLERANCE = 1e-3
"""Largest difference allowed, relative to the output's largest value; float32 leaves about 1e-5."""


class MismatchError(RuntimeError):
    """An exported file fails, or gives something else than the model."""


@dataclass(frozen=True)
class OutputDifference:
    """How the outputs of a file and of the model differ at one size.

    Args:
        shape: of the images, (B, 3, H, W).
        absolute: largest difference of all outputs.
        relative: the same, over the largest magnitude of the output that it is in.
        equal_classes: share of the pixels, or images, whose class is the same; None without
            classes.
        classified: what has a class, in the plural.
    """

    shape: tuple[int, ...]
    absolute: float
    relative: float
    equal_classes: float | None
    classified: str = "pixels"

    def __str__(self) -> str:
        batch, _, height, width = self.shape
        text = f"{batch} x {height} x {width}: largest difference {self.absolute:.2g}"
        text += f" ({self.relative:.1e} of the largest value)"
        if self.equal_classes is not None:
            text += (
                f", {100 * self.equal_classes:.4g} % of the {self.classified} have the same class"
            )
        return text


def compare(run: Run, eager: Run, shapes: Iterable[tuple[int, ...]]) -> list[OutputDifference]:
    """Compare a file with the model it was made of, on random images.

    Args:
        run: the file.
        eager: the model.
        shapes: of the images, (B, 3, H, W).

    Raises:
        MismatchError: the file fails, or a difference is above `TOLERANCE`.
    """
    generator = torch.Generator().manual_seed(0)
    differences = []
    for shape in shapes:
        image = torch.randint(0, 256, shape, generator=generator).float()
        difference = _difference(run, eager, image)
        differences.append(difference)
        if not difference.relative <= TOLERANCE:  # a NaN is neither
            raise MismatchError(f"it differs from the model. {difference}")
    return differences


def _difference(run: Run, eager: Run, image: torch.Tensor) -> OutputDifference:
    expected = eager(image)
    try:
        got = run(image)
    except Exception as error:
        reason = str(error).strip().partition("\n")[0]
        raise MismatchError(f"it fails on images of {tuple(image.shape)}: {reason}") from error
    absolute, relative = [], []
    for name, right in expected.items():
        if name not in got or got[name].shape != right.shape:
            shapes = {key: tuple(value.shape) for key, value in got.items()}
            raise MismatchError(f"it gives {shapes}, expected {name} of {tuple(right.shape)}")
        largest = (got[name] - right).abs().max()
        absolute.append(largest)
        relative.append(largest / right.abs().max().clamp(min=1e-12))
    same, classified = None, "pixels"
    if "logits" in expected:
        classes = [outputs["logits"].argmax(dim=1) for outputs in (got, expected)]
        same = (classes[0] == classes[1]).float().mean().item()
        classified = "images" if classes[0].ndim == 1 else "pixels"
    # torch's maximum keeps a NaN, Python's may lose it.
    worst = [torch.stack(values).max().item() for values in (absolute, relative)]
    return OutputDifference(tuple(image.shape), worst[0], worst[1], same, classified)
