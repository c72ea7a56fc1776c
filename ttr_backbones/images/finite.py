"""NaN and infinite features are an error that says where, never "no outliers"."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor

from ttr_backbones.errors import InputError

_ADVICE = (
    "Nothing can be said about outliers then: check the weights and this image, and run the model "
    "in float32 (float16 ends at 65504)"
)


class NonFiniteError(InputError):
    """A model gives NaN or infinite values.

    Args:
        what: name of the values in the message.
        count: how many of them are not finite.
        total: how many values there are.
        image: index in its batch of the first image with such a value; None where not known.
        name: the image's name, where there is one.
    """

    def __init__(
        self, what: str, count: int, total: int, image: int | None, name: str | None = None
    ) -> None:
        self.what, self.count, self.total, self.image = what, count, total, image
        where = "" if image is None else f", first in image {image} of the batch"
        where = where if name is None else f", first in {name}"
        super().__init__(f"{count} of {total} values are NaN or infinite: {what}{where}. {_ADVICE}")


def check_finite(values: Mapping[str, Tensor]) -> None:
    """Raise unless all values are finite; one wait for the device.

    Args:
        values: {what they are: [B, ...]}.

    Raises:
        NonFiniteError: of the first that are not.
    """
    if torch.stack([each.isfinite().all() for each in values.values()]).all():
        return
    for what, each in values.items():
        bad = ~each.isfinite()
        if bad.any():
            image = int(bad.flatten(1).any(dim=1).nonzero()[0]) if bad.ndim > 1 else None
            raise NonFiniteError(what, int(bad.sum()), bad.numel(), image)


@contextmanager
def naming_images(images: Iterable[Any], first: int) -> Iterator[None]:
    """Name the image in a `NonFiniteError` from within.

    Args:
        images: what is run through, `ImageBatches` or any batches.
        first: how many of its images came before the batch that is run.
    """
    try:
        yield
    except NonFiniteError as error:
        if error.image is None:
            raise
        name = _image_name(images, first + error.image)
        raise NonFiniteError(error.what, error.count, error.total, error.image, name) from None


class CountedImages:
    """Counts of values that are not finite, per image, where a batch must not be waited for.

    Args:
        images: what is run through.
        what: name of the values in the message.
    """

    def __init__(self, images: Iterable[Any], what: str) -> None:
        self._images, self._what = images, what
        self._numbers: list[int] = []
        self._counts: list[Tensor] = []
        self._total = 0

    def add(self, first: int, counts: Tensor, values: int) -> None:
        """Note `counts` [B] of the images from number `first` on, out of `values` each."""
        self._numbers += range(first, first + len(counts))
        self._counts.append(counts)
        self._total += values * len(counts)

    def check(self) -> None:
        """Raise NonFiniteError if there is one; one wait for the device."""
        counts = torch.cat(self._counts).tolist() if self._counts else []
        bad = [number for number, count in zip(self._numbers, counts, strict=True) if count]
        if bad:
            name = _image_name(self._images, bad[0])
            raise NonFiniteError(self._what, sum(counts), self._total, None, name)


def _image_name(images: Iterable[Any], index: int) -> str:
    bad = {file for file, _ in getattr(images, "bad", [])}
    files = [file for file in getattr(images, "files", []) if file not in bad]
    return str(files[index]) if index < len(files) else f"image {index}"
