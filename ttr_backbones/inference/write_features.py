"""Dense features of a folder of images, at constant memory, by one process or by several."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import TypeVar

import torch
from torch import Tensor

from ttr_backbones.backbones import TimmViT
from ttr_backbones.backbones.description import description
from ttr_backbones.errors import InputError, unknown_name
from ttr_backbones.images.batches import Progress
from ttr_backbones.images.photos import Photos, UnusablePhotoError, photo_files
from ttr_backbones.inference.feature_images import Fit, input_side, read_input
from ttr_backbones.inference.read_ahead import read_ahead
from ttr_backbones.inference.shards import Shards
from ttr_backbones.inference.sources import raise_bad

Item = TypeVar("Item")
DTYPES = {"fp16": torch.float16, "bf16": torch.bfloat16, "fp32": torch.float32}


def write_features(
    backbone: TimmViT,
    images: str | Path,
    out: str | Path,
    *,
    mean: Sequence[float] | None = None,
    std: Sequence[float] | None = None,
    size: int | None = None,
    fit: Fit = "whole",
    dtype: str = "fp16",
    batch_size: int = 8,
    shard_size: int = 128,
    skip_bad: bool = False,
    rank: int = 0,
    world_size: int = 1,
    progress: Progress | None = None,
) -> bool:
    """Write the maps of every image below a folder as indexed shards; `SavedFeatures` reads them.

    What a killed run has written is kept, and the rest is done.

    Args:
        backbone: on its device; its `out_indices` say which blocks.
        images: the folder.
        out: folder for `index.json` and the shards, or the path of the index, a .json file.
        mean: per RGB channel on the scale 0..255; by default the backbone's.
        std: the standard deviation, on the same scale.
        size: short side of the input; by default the model's own.
        fit: "whole" photographs with their proportions, or the central "square".
        dtype: "fp16", "bf16" or "fp32" of what is saved; the model computes in its own.
        batch_size: images of one size per pass.
        shard_size: images per shard; as many maps are held in memory.
        skip_bad: leave out files that cannot be used and note them in the index.
        rank: this process takes every `world_size`-th shard; the processes need nothing but the
            same folder, and the last one to finish fills the index.
        world_size: number of processes.
        progress: called with the images done by this process and how many it has to do.

    Returns:
        Whether all shards are there and the index is complete.

    Raises:
        MissingFileError: no such folder.
        InputError: images that cannot be used (all are named; the shards without them are kept),
            a setting that differs from those of `out`, or values that the dtype cannot hold.
    """
    if dtype not in DTYPES:
        raise InputError(unknown_name("dtype", dtype, DTYPES))
    for name, count in (("batch_size", batch_size), ("shard_size", shard_size)):
        if count < 1:
            raise InputError(f"{name}={count}: expected a number above 0")
    mean, std = list(mean or backbone.mean), list(std or backbone.std)
    side, patch = input_side(backbone.vit, size), backbone.patch_size
    folder, files = Path(images).expanduser(), photo_files(images)
    # All headers are looked at first.
    photos = Photos(files, side, mean, std, smallest=max(patch), skip=True)
    if photos.bad and not skip_bad:
        _raise_all_bad(photos, side, patch, fit)
    unusable = {file.relative_to(folder).as_posix(): why for file, why in photos.bad}
    names = [file.relative_to(folder).as_posix() for file in files]
    settings = {
        **description(backbone),
        "blocks": list(backbone.out_indices),
        "facet": backbone.facet,
        "final_norm": backbone.final_norm,
        "mean": mean,
        "std": std,
        "size": side,
        "fit": fit,
        "dtype": dtype,
        "shard_size": shard_size,
        "num_images": len(names),
        "names_sha256": hashlib.sha256("\n".join(names).encode()).hexdigest(),
    }
    shards = Shards(out, names, shard_size, settings)

    def read(name: str) -> tuple[str, Tensor | str]:
        if name in unusable:
            return name, unusable[name]
        try:
            return name, read_input(folder / name, side, patch, fit)
        except UnusablePhotoError as error:
            return name, str(error)

    extract = _Extractor(backbone, mean, std, DTYPES[dtype], batch_size)
    missing = shards.missing(rank, world_size)
    of_process = [name for number in missing for name in shards.images(number)]
    stream = _with_progress(read_ahead(read, of_process), len(of_process), progress)
    bad: dict[str, str] = {}
    for number in missing:
        maps, wrong = extract(islice(stream, len(shards.images(number))))
        if skip_bad or not wrong:
            shards.write(number, maps, wrong)
        bad |= {} if skip_bad else wrong
    raise_bad(
        [(folder / name, why) for name, why in bad.items()],
        "The other shards are kept: repair these and run again, or go on without: --skip-bad.",
    )
    return shards.finish()


def _raise_all_bad(photos: Photos, side: int, patch: tuple[int, int], fit: Fit) -> None:
    """Name the files with broken headers, and those too that only decoding shows to be broken."""

    def problem(file: Path) -> tuple[Path, str] | None:
        try:
            read_input(file, side, patch, fit)
        except UnusablePhotoError as error:
            return file, str(error)
        return None

    broken = [found for found in read_ahead(problem, photos.files) if found is not None]
    raise_bad(
        sorted([*photos.bad, *broken]),
        "Repair or remove them, or go on without: --skip-bad.",
    )


def _with_progress(items: Iterator[Item], total: int, progress: Progress | None) -> Iterator[Item]:
    for done, item in enumerate(items, start=1):
        yield item
        if progress is not None:
            progress(done, total)


class _Extractor:
    """Images of one shard -> their maps, those of one size in one pass."""

    def __init__(
        self,
        backbone: TimmViT,
        mean: Sequence[float],
        std: Sequence[float],
        dtype: torch.dtype,
        batch_size: int,
    ) -> None:
        self.backbone, self.dtype, self.batch_size = backbone, dtype, batch_size
        self._like = next(backbone.parameters())
        self._mean, self._std = (self._like.new_tensor(v).view(3, 1, 1) for v in (mean, std))

    def __call__(
        self, images: Iterator[tuple[str, Tensor | str]]
    ) -> tuple[dict[str, Tensor], dict[str, str]]:
        """Maps by name, and the reasons why others have none."""
        maps: dict[str, Tensor] = {}
        bad: dict[str, str] = {}
        waiting: dict[torch.Size, dict[str, Tensor]] = {}
        for name, image in images:
            if isinstance(image, str):
                bad[name] = image
                continue
            batch = waiting.setdefault(image.shape, {})
            batch[name] = image
            if len(batch) == self.batch_size:
                maps |= self._run(waiting.pop(image.shape))
        for batch in waiting.values():
            maps |= self._run(batch)
        return maps, bad

    @torch.no_grad()
    def _run(self, batch: Mapping[str, Tensor]) -> dict[str, Tensor]:
        images = torch.stack(list(batch.values())).to(self._like)
        maps = torch.stack(self.backbone((images - self._mean) / self._std), dim=1)
        saved = maps.to(self.dtype)
        for name, kept, full in zip(batch, saved, maps, strict=True):
            if not kept.isfinite().all():
                raise InputError(
                    f"{name}: features up to {full.abs().max().item():g} do not fit into "
                    f"{str(self.dtype).removeprefix('torch.')}: use another --dtype (bf16, fp32)"
                )
        saved = saved.squeeze(1) if saved.shape[1] == 1 else saved
        # safetensors takes contiguous tensors with memory of their own.
        copies = [kept.clone(memory_format=torch.contiguous_format) for kept in saved.cpu()]
        return dict(zip(batch, copies, strict=True))
