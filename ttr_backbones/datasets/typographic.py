"""Photographs with a written word that names another object: RTA-100's layout."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from mmengine.dataset import BaseDataset
from mmseg.registry import DATASETS, TRANSFORMS
from numpy.typing import NDArray

from ttr_backbones.datasets.annotations_error import AnnotationsError
from ttr_backbones.datasets.class_sample import PackClassInputs
from ttr_backbones.errors import InputError, MissingFileError
from ttr_backbones.images.photos import SUFFIXES, check_names

_NAME = re.compile(r"label=(?P<label>[^_]+)_text=(?P<text>[^_]+)")
_EXPECTED = "expected images called label=OBJECT_text=WORD.png, as in RTA-100"


@DATASETS.register_module()
class TypographicAttacks(BaseDataset):
    """Images `label=dog_text=cat.png`: a dog with the word "cat" (Defense-Prefix, RTA-100).

    The classes are all objects and all words, in order of name. A data info holds `img_path`,
    `gt_label`, the class of the object, and `written_label`, that of the word. Where the word
    stands in the image is in no release of RTA-100: `ann_file` may say, a JSON file {name of the
    image: [[x1, y1, x2, y2], ...]} in pixels of the image, right and bottom excluded. Each image
    has `text_boxes` [n, 4] then.

    Args:
        data_root: folder that the others lie in.
        data_prefix: `img_path`, the folder of the images.
        ann_file: of the boxes; "" for none.
        **kwargs: as for mmengine's `BaseDataset`.

    Raises:
        MissingFileError: the folder or the file does not exist.
        InputError: images of other names, or boxes that are not those of the images.
    """

    def __init__(
        self,
        data_root: str = "",
        data_prefix: Mapping[str, str] | None = None,
        ann_file: str = "",
        **kwargs: Any,
    ) -> None:
        folders = {"img_path": "", **(data_prefix or {})}
        super().__init__(ann_file=ann_file, data_root=data_root, data_prefix=folders, **kwargs)

    def load_data_list(self) -> list[dict[str, Any]]:
        """List the images, and set the classes."""
        found = attacks(Path(self.data_prefix["img_path"] or self.data_root))
        classes = union(found)
        self._metainfo["classes"] = classes
        number = {name: index for index, name in enumerate(classes)}
        infos: list[dict[str, Any]] = [
            {"img_path": str(path), "gt_label": number[label], "written_label": number[text]}
            for path, (label, text) in found.items()
        ]
        if self.ann_file:
            boxes = read_boxes(Path(self.ann_file), [path.name for path in found])
            for info in infos:
                info["text_boxes"] = boxes[Path(info["img_path"]).name]
        return infos


@TRANSFORMS.register_module()
class PackTypographicInputs(PackClassInputs):
    """Packs the class of the word and where it stands, too."""

    def transform(self, results: dict[str, Any]) -> dict[str, Any]:
        """Pack `written_label` as a number and `text_boxes`, if any, as float32 [n, 4]."""
        packed = super().transform(results)
        sample = packed["data_samples"]
        if "written_label" in results:
            sample.set_field(int(results["written_label"]), "written_label")
        if "text_boxes" in results:
            sample.set_field(torch.from_numpy(results["text_boxes"]), "text_boxes")
        return packed


def attacks(folder: Path) -> dict[Path, tuple[str, str]]:
    """Return {image: (object, word)} of the images of a folder, in order of name.

    Raises:
        MissingFileError: no such folder.
        InputError: no image, or one of another name.
    """
    if not folder.is_dir():
        raise MissingFileError(f"{folder}: no such folder; {_EXPECTED}. Give it as --data-root")
    files = sorted(path for path in folder.iterdir() if path.suffix.lower() in SUFFIXES)
    matches = {path: _NAME.fullmatch(path.stem) for path in files}
    if not files:
        raise InputError(f"{folder} holds no image; {_EXPECTED}")
    right = {path: (m["label"], m["text"]) for path, m in matches.items() if m is not None}
    problems = [f"{path}: {_EXPECTED}" for path, match in matches.items() if match is None]
    if problems:
        infos = [{"img_path": str(path)} for path in right]
        raise AnnotationsError(str(folder), problems, infos)
    check_names(files)
    return right


def union(found: Mapping[Path, tuple[str, str]]) -> tuple[str, ...]:
    """Return all objects and all words of `attacks`, in order of name."""
    return tuple(sorted({name for pair in found.values() for name in pair}))


def read_boxes(path: Path, images: list[str]) -> dict[str, NDArray[np.float32]]:
    """Read where the words stand.

    Args:
        path: JSON.
        images: names that have to be in it, each with a box.

    Raises:
        MissingFileError: no such file.
        InputError: another content.
    """
    if not path.is_file():
        raise MissingFileError(f"no file of boxes at {path}: {_BOXES}")
    try:
        read = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise InputError(f"{path} is no JSON ({error}): {_BOXES}") from error
    if not isinstance(read, dict) or (absent := sorted(set(images) - read.keys())):
        what = f"has no boxes of {absent[0]}" if isinstance(read, dict) else "holds no object"
        raise InputError(f"{path} {what}: {_BOXES}")
    if foreign := sorted(read.keys() - set(images)):
        raise InputError(f"{path} has boxes of {foreign[0]}, which is no image there")
    return {name: _boxes(read[name], name, path) for name in images}


_BOXES = "expected {name of every image: [[x1, y1, x2, y2], ...]} in pixels"


def _boxes(value: Any, name: str, path: Path) -> NDArray[np.float32]:
    try:
        boxes = np.asarray(value, dtype=np.float32)
    except (TypeError, ValueError):
        boxes = np.empty(0, np.float32)
    if boxes.ndim != 2 or boxes.shape[1] != 4 or not np.isfinite(boxes).all() or not len(boxes):
        raise InputError(f"{path}: the boxes of {name} are {value!r}: {_BOXES}")
    if (boxes[:, 2:] <= boxes[:, :2]).any():
        raise InputError(f"{path}: a box of {name} is empty, {value!r}: expected x1 < x2, y1 < y2")
    return boxes
