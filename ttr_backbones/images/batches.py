"""Images for the neuron search, from wherever they are, as batches that fit a model.

Every source becomes one stream of single images, which is then batched: nothing depends on how the
caller batched them, and no more than one batch is in memory.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor, nn

from ttr_backbones.errors import InputError
from ttr_backbones.images.input_check import check_images, check_size
from ttr_backbones.images.photos import Photos, photo_files
from ttr_backbones.vits.family import family_of

Progress = Callable[[int, "int | None"], None]
"""Called after every batch with the number of images done in this pass and, where known, of all."""


def image_batches(
    images: Any,
    vit: nn.Module,
    *,
    batch_size: int = 8,
    size: int | None = None,
    num_images: int | None = None,
    on_bad: Literal["error", "skip"] = "error",
    progress: Progress | None = None,
) -> ImageBatches:
    """Give `images` as batches for `vit`.

    Args:
        images: normalised images, as a tensor [B, 3, H, W] or any iterable of [3, H, W] or
            [B, 3, H, W] (also a data loader's (images, labels)); or photographs, as a folder or a
            list of files, which are resized, cropped to their central square and normalised for
            the model (mean and std 0.5 if it carries none). `ImageBatches` come back as they are.
        vit: the model.
        batch_size: images per batch; fewer where neighbours differ in size.
        size: side of the square that photographs become; by default the model's own.
        num_images: use so many: of files evenly over the sorted list, of others the first.
        on_bad: "skip" goes on without files that cannot be used and names them in `bad`.
        progress: called after every batch.

    Raises:
        MissingFileError: no such folder.
        InputError: no images, files that cannot be used (all are named), or a size or shape that
            does not fit the model.
    """
    if isinstance(images, ImageBatches):
        return images
    for name, count in (("batch_size", batch_size), ("num_images", num_images), ("size", size)):
        if count is not None and count < 1:
            raise InputError(f"{name}={count}: expected a number above 0")
    if on_bad not in ("error", "skip"):
        raise InputError(f"on_bad={on_bad!r}: expected 'error' or 'skip'")
    if isinstance(images, str | Path):
        images = photo_files(images)
    if _holds_files(images):
        images = _photos(images, vit, size, num_images, skip=on_bad == "skip")
    elif size is not None:
        raise InputError(
            f"size={size} goes with photographs on disk: tensors are taken as they are"
        )
    return ImageBatches(images, vit, batch_size, num_images, progress)


class ImageBatches:
    """Gives float tensors [b, 3, H, W] in the model's dtype and on its device.

    Attributes:
        reiterable: False for a generator, which gives its images only once.
        size: (H, W) of the images; None for an iterable before its first batch.
    """

    def __init__(
        self,
        images: Any,
        vit: nn.Module,
        batch_size: int,
        num_images: int | None = None,
        progress: Progress | None = None,
        may_be_empty: bool = False,
    ) -> None:
        if isinstance(images, Tensor):
            check_images(images, vit, ndims=(4,))
            images = images[:num_images]
        if not isinstance(images, Iterable):
            raise InputError(
                "images: expected a tensor [B, 3, H, W], a folder, a list of files or an iterable "
                f"of images, got {type(images).__name__}"
            )
        self._images, self._vit, self._limit = images, vit, num_images
        self._used = False
        self.batch_size, self.progress = batch_size, progress
        self._may_be_empty = may_be_empty
        self.reiterable = not isinstance(images, Iterator)
        self._counted: int | None = None
        self.size: tuple[int, int] | None = None
        if isinstance(images, Tensor):
            self.size = (images.shape[2], images.shape[3])
        if isinstance(images, Photos):
            self.size = (images.side, images.side)

    @property
    def num_images(self) -> int | None:
        """How many images there are; None for an iterable before its first full pass."""
        if isinstance(self._images, Photos | Tensor):
            return len(self._images)
        return self._counted

    @property
    def files(self) -> list[Path]:
        """The files that are read; none if the images came as tensors."""
        return self._images.files if isinstance(self._images, Photos) else []

    @property
    def bad(self) -> list[tuple[Path, str]]:
        """Files left out, each with the reason why it cannot be used."""
        return self._images.bad if isinstance(self._images, Photos) else []

    @property
    def gray_or_cmyk(self) -> list[tuple[Path, str]]:
        """Files converted to RGB, each with its colour mode."""
        return self._images.gray_or_cmyk if isinstance(self._images, Photos) else []

    def __len__(self) -> int:
        """Number of batches.

        Raises:
            TypeError: not known, as `len` of a generator.
        """
        if self.num_images is None:
            raise TypeError("the number of images is not known before the first full pass")
        return math.ceil(self.num_images / self.batch_size)

    def __iter__(self) -> Iterator[Tensor]:
        if self._used:
            self.require_reiterable("a second pass")
        self._used = True
        like, done = next(self._vit.parameters()), 0
        for batch in _stacked(self._stream(), self.batch_size):
            self.size = self.size or (batch.shape[2], batch.shape[3])
            yield batch.to(like)
            done += len(batch)
            if self.progress is not None:
                self.progress(done, self.num_images)
        if not done and not self._may_be_empty:
            raise InputError("there are no images: expected at least one")
        self._counted = done

    def require_reiterable(self, purpose: str) -> None:
        """Raise InputError if the images come only once; `purpose` is what needs them twice."""
        if not self.reiterable:
            raise InputError(
                f"{purpose} has to go over the images again, and a {type(self._images).__name__} "
                "gives them only once: pass a tensor, a folder, a list or a data loader"
            )

    def split(self, held_out: float) -> tuple[ImageBatches, ImageBatches]:
        """Split off a share of the images, spread evenly; the order stays.

        Args:
            held_out: share of the images, between 0 and 1.

        Returns:
            The rest, and the images held out.

        Raises:
            InputError: not within (0, 1), images that come only once, or too few for two parts.
        """
        if not 0 < held_out < 1:
            raise InputError(f"held_out={held_out}: expected a share between 0 and 1")
        self.require_reiterable("holding images out")
        rest = self._part(lambda i: int((i + 1) * held_out) == int(i * held_out))
        held = self._part(lambda i: int((i + 1) * held_out) > int(i * held_out))
        if rest.num_images == 0 or held.num_images == 0:
            raise InputError(
                f"{self.num_images} images are too few to hold out a share of {held_out}: give "
                "more images"
            )
        return rest, held

    def every(self, step: int, first: int = 0) -> ImageBatches:
        """Every `step`-th batch, from number `first` on; the files of the others are not read.

        There may be none. (Where neighbours differ in size, runs of `batch_size` images count as
        batches.)
        """
        return self._part(lambda i: i // self.batch_size % step == first, may_be_empty=True)

    def _part(self, wanted: Callable[[int], bool], *, may_be_empty: bool = False) -> ImageBatches:
        images: Any = _Subset(self, wanted)
        if self.num_images is not None:
            chosen = [i for i in range(self.num_images) if wanted(i)]
            if isinstance(self._images, Photos):
                images = self._images.part(chosen, may_be_empty=may_be_empty)
            if isinstance(self._images, Tensor):
                images = self._images[chosen]
        return ImageBatches(images, self._vit, self.batch_size, None, self.progress, may_be_empty)

    def _stream(self) -> Iterator[Tensor]:
        """Single images [3, H, W]."""
        for index, image in enumerate(_single(self._images, self._vit)):
            if index == self._limit:
                return
            yield image


class _Subset:
    """Those images of a stream whose index is wanted."""

    def __init__(self, whole: ImageBatches, wanted: Callable[[int], bool]) -> None:
        self._whole, self._is_in = whole, wanted

    def __iter__(self) -> Iterator[Tensor]:
        stream = self._whole._stream()  # noqa: SLF001 (a part of it)
        return (image for index, image in enumerate(stream) if self._is_in(index))


def _photos(
    files: Iterable[str | Path],
    vit: nn.Module,
    size: int | None,
    num_images: int | None,
    *,
    skip: bool,
) -> Photos:
    facts = family_of(vit).facts(vit)
    side = size or facts.image_size[1]
    check_size(vit, (side, side))
    chosen = [Path(file).expanduser() for file in files]
    if num_images is not None and num_images < len(chosen):
        chosen = [chosen[i * len(chosen) // num_images] for i in range(num_images)]
    return Photos(
        chosen,
        side,
        facts.mean,
        facts.std,
        smallest=max(facts.patch_size),
        skip=skip,
    )


def _holds_files(images: Any) -> bool:
    return (
        isinstance(images, list | tuple)
        and len(images) > 0
        and all(isinstance(image, str | Path) for image in images)
    )


def _single(images: Iterable[Any], vit: nn.Module) -> Iterator[Tensor]:
    """Take batches apart: single images [3, H, W]."""
    for item in images:
        if isinstance(item, list | tuple) and len(item) > 0:
            item = item[0]  # (images, labels)
        check_images(item, vit, ndims=(3, 4))
        yield from item.unbind() if item.ndim == 4 else [item]


def _stacked(images: Iterable[Tensor], batch_size: int) -> Iterator[Tensor]:
    """Put single images together as long as they have one size: [b, 3, H, W]."""
    batch: list[Tensor] = []
    for image in images:
        if batch and (len(batch) == batch_size or image.shape != batch[0].shape):
            yield torch.stack(batch)
            batch = []
        batch.append(image)
    if batch:
        yield torch.stack(batch)
