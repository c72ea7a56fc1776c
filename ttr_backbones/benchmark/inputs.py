"""Hashes of the data that the numbers were measured on."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mmengine.config import Config

from ttr_backbones.app.data_check import CheckedDataset
from ttr_backbones.file_hash import file_hash
from ttr_backbones.open_vocabulary.text import text_file


@dataclass(frozen=True)
class DataFacts:
    """A data set as it was found.

    Args:
        kind: its type.
        loaders: names of the data loaders that read it.
        samples: number of them.
        sha256: of the content of all files and of what the annotations say.
        unlike_published: how the number of samples differs from the published sets', or "".
        problems: what is wrong with it.
        files: (path below the folder of all data, SHA-256) of every file.
    """

    kind: str
    loaders: str
    samples: int
    sha256: str
    unlike_published: str
    problems: tuple[str, ...]
    files: tuple[tuple[str, str], ...]

    @property
    def is_test(self) -> bool:
        """Whether the numbers are measured on it."""
        return "test_dataloader" in self.loaders


def data_facts(found: CheckedDataset, folder: Path) -> DataFacts:
    """Hash what was checked.

    Args:
        found: of `app.data_check`.
        folder: that of all data, which does not count: the same files elsewhere are the same data.
    """
    infos = [_without(info, f"{folder}/") for info in found.infos]
    files = sorted({str(path) for info in found.infos for path in _paths(info)})
    hashed = tuple((path.removeprefix(f"{folder}/"), file_hash(Path(path))) for path in files)
    digest = hashlib.sha256(json.dumps([infos, hashed], sort_keys=True, default=str).encode())
    return DataFacts(
        found.kind,
        found.loaders,
        found.samples,
        digest.hexdigest(),
        found.unlike_published,
        tuple(found.problems),
        hashed,
    )


def combined_hash(hashes: Iterable[str]) -> str:
    """Combine several SHA-256 into one."""
    return hashlib.sha256(" ".join(hashes).encode()).hexdigest()


def files_of_model(cfg: Config) -> list[Path]:
    """Return the files besides data sets, weights and repair that the config of a test names.

    These are vectors of texts, lists of classes, a released head.

    Args:
        cfg: whose backbone is a `TimmViT`.
    """
    backbone = cfg.model.backbone
    kept_out = {"checkpoint", "repair"}
    others = {**cfg.model, "backbone": {k: v for k, v in backbone.items() if k not in kept_out}}
    texts = _strings([others, cfg.get("load_from")])
    named = [text for text in texts if os.path.isfile(text)]  # noqa: PTH113 -- any text may come
    vectors = text_file(cfg.model.get("text"), backbone)
    if vectors is not None and vectors.is_file():
        named.append(str(vectors))
    return [Path(name) for name in dict.fromkeys(named)]


def _strings(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping | list | tuple):
        for inner in value.values() if isinstance(value, Mapping) else value:
            yield from _strings(inner)


def _paths(info: Mapping[str, Any]) -> list[Any]:
    return [v for key, v in info.items() if key.endswith("_path") and v and Path(v).is_file()]


def _without(value: Any, folder: str) -> Any:
    """Make data plain and independent of where its folder lies."""
    if isinstance(value, Mapping):
        return {str(key): _without(inner, folder) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_without(inner, folder) for inner in value]
    if hasattr(value, "tolist"):
        return value.tolist()
    return value.removeprefix(folder) if isinstance(value, str) else value
