"""`FeatureCache`: maps of images that have been seen before, from disk."""

from __future__ import annotations

import hashlib
import json
import logging
import zlib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import timm
import torch
from mmengine.logging import print_log
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

import ttr_backbones
from ttr_backbones.atomic import UnwritableError, write_atomically
from ttr_backbones.errors import InputError

_ENTRY = "feature_cache"  # of a file's header: order of the axes and checksum of every map
# What a file that another program cut, filled or changed may raise when it is read.
_DAMAGE = (OSError, SafetensorError, KeyError, TypeError, ValueError, IndexError, RuntimeError)


class Counts(NamedTuple):
    """What caches have done: inputs found and computed, bytes of maps read and of files written."""

    hits: int
    misses: int
    bytes_read: int
    bytes_written: int

    def __str__(self) -> str:
        """For people."""
        read, written = (f"{size / 1e9:.2f} GB" for size in self[2:])
        return (
            f"{self.hits} of {sum(self[:2])} inputs were there ({read} read), {self.misses} were "
            f"computed ({written} written)"
        )


class FeatureCache:
    """Gives the maps of an image from disk if they are there, and else computes and keeps them.

    Good for images that come again exactly as they are, as in evaluation without augmentation. An
    image is known by the values that the backbone is given, and the maps belong to all that
    determines them: a changed image, register list, weight file or version is a miss. A hit equals
    the miss before it bit for bit, also in its layout in memory. Any number of processes may share
    the folder. A damaged file is computed anew, and where nothing can be written the run goes on
    without keeping more; each is logged once.

    The folder holds one folder per kind of maps, with a `description.json`; any of them may be
    deleted at any time.

    Args:
        folder: of the cache; made when the first map is written.
        describe: gives what determines the maps besides images and what is asked for, as plain
            data. It is asked at every call.

    Raises:
        InputError: `folder` is a file.
    """

    def __init__(self, folder: str | Path, describe: Callable[[], Mapping[str, Any]]) -> None:
        self.folder = Path(folder).expanduser()
        if self.folder.exists() and not self.folder.is_dir():
            raise InputError(f"the feature cache {folder} is a file, expected a folder")
        self.describe = describe
        self.hits = self.misses = self.bytes_read = self.bytes_written = 0
        self._writes = True
        self._warned: set[str] = set()

    def __call__(
        self, images: Tensor, compute: Callable[[Tensor], Sequence[Tensor]], request: Any = None
    ) -> list[Tensor]:
        """Take the maps of `images`; those that are not there are computed in one batch.

        Args:
            images: [B, ...], as the backbone is given them.
            compute: some of the images -> M maps [b, C, h, w].
            request: plain data that says which maps `compute` gives.

        Returns:
            M maps [B, C, h, w] on the device of the images.
        """
        kind = self._kind(images, request)
        files = [kind.file(image) for image in images.cpu()]
        maps = [self._read(file) for file in files]
        missing = [index for index, found in enumerate(maps) if found is None]
        self.hits += len(files) - len(missing)
        self.misses += len(missing)
        if files and not missing:
            return _batch(maps, images.device)
        made = list(compute(images if len(missing) == len(files) else images[missing]))
        for index, *of_image in zip(missing, *(tensor.cpu() for tensor in made), strict=True):
            maps[index] = of_image
            self._write(kind, files[index], of_image)
        return made if len(missing) == len(files) else _batch(maps, images.device)

    @property
    def counts(self) -> Counts:
        """What has been done so far."""
        return Counts(self.hits, self.misses, self.bytes_read, self.bytes_written)

    def _kind(self, images: Tensor, request: Any) -> _Kind:
        device = images.device.type
        autocast = torch.is_autocast_enabled(device)
        described = {
            **self.describe(),
            "asked": request,
            "device": device,
            "autocast": str(torch.get_autocast_dtype(device)) if autocast else None,
            "versions": {
                "ttr_backbones": ttr_backbones.__version__,
                "torch": str(torch.__version__),
                "timm": timm.__version__,
            },
        }
        return _Kind(self.folder, json.dumps(described, indent=1, sort_keys=True))

    def _read(self, file: Path) -> list[Tensor] | None:
        try:
            maps = _load(file)
        except FileNotFoundError:
            return None
        except _DAMAGE as error:
            self._warn_once("damaged", f"{file} is damaged ({error}): it is computed anew.")
            return None
        self.bytes_read += sum(tensor.nbytes for tensor in maps)
        return maps

    def _write(self, kind: _Kind, file: Path, maps: Sequence[Tensor]) -> None:
        if not self._writes:
            return
        content = _saved(maps)
        try:
            if not kind.description_file.exists():
                write_atomically(kind.description_file, kind.description.encode())
            write_atomically(file, content)
        except (OSError, UnwritableError) as error:
            self._writes = False
            self._warn_once("unwritable", f"{error} The run goes on without keeping more maps.")
        else:
            self.bytes_written += len(content)

    def _warn_once(self, what: str, message: str) -> None:
        if what not in self._warned:
            self._warned.add(what)
            text = f"feature cache: {message} (Logged once.)"
            print_log(text, logger="current", level=logging.WARNING)


class _Kind:
    """Where maps of one kind lie."""

    def __init__(self, folder: Path, description: str) -> None:
        self.description = description
        self.folder = folder / hashlib.sha256(description.encode()).hexdigest()[:16]
        self.description_file = self.folder / "description.json"

    def file(self, image: Tensor) -> Path:
        """Where the maps of an image, on the CPU, lie or would lie."""
        digest = hashlib.blake2b(f"{list(image.shape)} {image.dtype}".encode(), digest_size=16)
        digest.update(image.contiguous().view(-1).view(torch.uint8).numpy().data)
        key = digest.hexdigest()
        # One folder of a hundred thousand files is slow on some file systems.
        return self.folder / key[:2] / f"{key}.safetensors"


def _batch(maps: Sequence[Sequence[Tensor] | None], device: torch.device) -> list[Tensor]:
    """Maps by image -> batches by map, laid out like the first of each."""
    batches = []
    for of_images in zip(*(of_image for of_image in maps if of_image), strict=True):
        order = _order(of_images[0])
        lying = torch.stack([tensor.permute(*order) for tensor in of_images]).to(device)
        batches.append(lying.permute(0, *(axis + 1 for axis in _inverse(order))))
    return batches


def _order(tensor: Tensor) -> list[int]:
    """Axes from the slowest in memory to the fastest."""
    strides = tensor.stride()
    return sorted(range(tensor.ndim), key=lambda axis: -strides[axis])


def _inverse(order: Sequence[int]) -> list[int]:
    return sorted(range(len(order)), key=lambda axis: order[axis])


def _saved(maps: Sequence[Tensor]) -> bytes:
    """Maps as they lie in memory, since that decides how a head sums them up."""
    orders = [_order(tensor) for tensor in maps]
    lying = [
        tensor.permute(*order).contiguous() for tensor, order in zip(maps, orders, strict=True)
    ]
    entry = [(order, _checksum(tensor, order)) for tensor, order in zip(lying, orders, strict=True)]
    named = {str(number): tensor for number, tensor in enumerate(lying)}
    return save(named, metadata={_ENTRY: json.dumps(entry)})


def _load(file: Path) -> list[Tensor]:
    with safe_open(file, framework="pt") as opened:
        entry = json.loads(opened.metadata()[_ENTRY])
        lying = [opened.get_tensor(str(number)) for number in range(len(entry))]
    for tensor, (order, checksum) in zip(lying, entry, strict=True):
        if _checksum(tensor, order) != checksum:
            raise ValueError("its checksum differs")
    return [
        tensor.permute(*_inverse(order)) for tensor, (order, _) in zip(lying, entry, strict=True)
    ]


def _checksum(lying: Tensor, order: Sequence[int]) -> int:
    """Sum of the 64-bit words: 40 times as fast as a digest, and enough for a damaged disk."""
    octets = lying.view(-1).view(torch.uint8)
    if len(octets) % 8 or octets.storage_offset() % 8:
        octets = torch.cat([octets, octets.new_zeros(-len(octets) % 8)])
    return int(octets.view(torch.int64).sum()) + zlib.crc32(f"{order} {lying.shape}".encode())
