"""Features on disk: safetensors shards beside an index, written piece by piece, read by name.

Which image is in which shard follows from the order of the names alone. So a run goes on wherever
a killed one stopped, any number of processes can share the shards among them, and the files are
the same in every case. A shard is written beside its place and renamed: it is complete or absent.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor

from ttr_backbones.atomic import remove_partial_files, write_atomically, writing_atomically
from ttr_backbones.errors import InputError, MissingFileError, unknown_name

_FORMAT = "ttr_backbones features 1"


class Shards:
    """The shards of one index.

    Args:
        path: a folder, which gets `index.json`, or a file that ends in .json; the shards lie
            beside it.
        names: of all images, in order.
        size: images per shard.
        settings: plain data that determine the features; an index with others is refused.

    Raises:
        InputError: `path` is another kind of file, or holds features of other settings.
    """

    def __init__(
        self, path: str | Path, names: Sequence[str], size: int, settings: Mapping[str, Any]
    ) -> None:
        self.index = index_path(path)
        self.names, self.size, self.settings = list(names), size, dict(settings)
        self.count = -(-len(self.names) // size)
        if self.index.exists():
            self._check(_read(self.index))
        else:
            self._write_index({}, {})

    def images(self, number: int) -> list[str]:
        """Names of the images of a shard."""
        return self.names[number * self.size : (number + 1) * self.size]

    def file(self, number: int) -> Path:
        """Where a shard lies."""
        stem = "features" if self.index.name == "index.json" else self.index.stem
        return self.index.with_name(f"{stem}-{number:05d}-of-{self.count:05d}.safetensors")

    def missing(self, rank: int = 0, world_size: int = 1) -> list[int]:
        """Numbers of the shards that process `rank` of `world_size` has yet to write."""
        of_process = range(rank, self.count, world_size)
        return [number for number in of_process if not self.file(number).exists()]

    def write(self, number: int, maps: Mapping[str, Tensor], bad: Mapping[str, str]) -> None:
        """Write a shard: the map of each image by its name, and why others have none."""
        path, size = self.file(number), sum(tensor.nbytes for tensor in maps.values())
        remove_partial_files(path.parent, path.name)  # a killed run's; a shard has one writer
        with writing_atomically(path, size) as partial:
            save_file(dict(maps), partial, metadata={"bad": json.dumps(dict(bad))})

    def finish(self) -> bool:
        """Fill the index if all shards are there, of all processes; return whether they are."""
        if self.missing():
            return False
        images: dict[str, Any] = {}
        bad: dict[str, str] = {}
        for number in range(self.count):
            path = self.file(number)
            with safe_open(path, framework="pt") as shard:
                bad |= json.loads(shard.metadata()["bad"])
                for name in shard.keys():  # noqa: SIM118 (safe_open is no dict)
                    shape = shard.get_slice(name).get_shape()
                    images[name] = {"shard": path.name, "key": name, "shape": shape}
        self._write_index({name: images[name] for name in self.names if name in images}, bad)
        return True

    def _write_index(self, images: Mapping[str, Any], bad: Mapping[str, str]) -> None:
        complete = len(images) + len(bad) == len(self.names)
        content = {"format": _FORMAT, "complete": complete, "settings": self.settings}
        text = json.dumps({**content, "bad": dict(bad), "images": dict(images)}, indent=1) + "\n"
        write_atomically(self.index, text.encode())

    def _check(self, content: Mapping[str, Any]) -> None:
        # Through JSON, as the others came: tuples become lists.
        settings, others = json.loads(json.dumps(self.settings)), content["settings"]
        changed = [
            key for key in settings.keys() | others.keys() if settings.get(key) != others.get(key)
        ]
        if changed:
            differences = "".join(
                f"\n  {key}: there {_short(others.get(key))}, now {_short(settings.get(key))}"
                for key in sorted(changed)
            )
            raise InputError(
                f"{self.index} is of features with other settings; give another --out, or the same "
                f"settings to go on with these{differences}"
            )


class SavedFeatures(Mapping[str, Tensor]):
    """Reads what `ttrb features` wrote: `SavedFeatures(path)[name]` is a map [C, h, w].

    With several blocks a map is [blocks, C, h, w]. Names are paths below the folder of images.

        features = SavedFeatures("features/")
        for name, feature in features.items(): ...

    Args:
        path: the folder or the index file.

    Attributes:
        names: of all images, in order.
        settings: model, registers, blocks, normalisation and sizes.
        bad: {name: reason} of images without features.

    Raises:
        MissingFileError: no index there.
        InputError: no such index, or not all shards are written.
    """

    def __init__(self, path: str | Path) -> None:
        self.index = index_path(path)
        if not self.index.is_file():
            raise MissingFileError(f"{self.index}: no such file; `ttrb features` writes it")
        content = _read(self.index)
        if not content["complete"]:
            raise InputError(
                f"{self.index} is not complete: run the same `ttrb features` again, it goes on "
                "where it stopped"
            )
        self.settings: dict[str, Any] = content["settings"]
        self.bad: dict[str, str] = content["bad"]
        self._images: dict[str, Any] = content["images"]
        self.names = list(self._images)

    def __getitem__(self, name: str) -> Tensor:
        if name not in self._images:
            raise KeyError(unknown_name("image", str(name), self.names))
        place = self._images[name]
        with safe_open(self.index.with_name(place["shard"]), framework="pt") as shard:
            tensor: Tensor = shard.get_tensor(place["key"])
            return tensor

    def __iter__(self) -> Iterator[str]:
        return iter(self._images)

    def __len__(self) -> int:
        return len(self._images)

    def __contains__(self, name: object) -> bool:
        return name in self._images

    def shape(self, name: str) -> tuple[int, ...]:
        """Shape of a map, without reading it."""
        return tuple(self._images[name]["shape"])


def index_path(path: str | Path) -> Path:
    """Where the index lies: `path` itself if it ends in .json, else `index.json` in that folder."""
    path = Path(path).expanduser()
    if path.suffix == ".json":
        return path
    if path.is_file():
        raise InputError(f"{path} is a file: expected a folder, or a file that ends in .json")
    return path / "index.json"


def _read(path: Path) -> dict[str, Any]:
    try:
        content: Any = json.loads(path.read_text(encoding="utf-8"))
    except ValueError:
        content = None
    if not isinstance(content, dict) or content.get("format") != _FORMAT:
        raise InputError(f"{path} is no index of `ttrb features`: give another path")
    return content


def _short(value: Any) -> str:
    text = json.dumps(value)
    return text if len(text) <= 80 else f"{text[:77]}..."
