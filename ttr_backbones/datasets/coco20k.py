"""COCO20k: LOST's list of images of COCO train2014, with their boxes."""

from __future__ import annotations

import json
import logging
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from mmengine.dataset import BaseDataset
from mmengine.logging import print_log
from mmseg.registry import DATASETS

from ttr_backbones.datasets.name_list import read_names
from ttr_backbones.errors import InputError, MissingFileError

_LIST = (
    "LOST's list of COCO20k is datasets/coco_20k_filenames.txt of github.com/valeoai/LOST; put it "
    "there, or set list_file=None to take all images."
)


@DATASETS.register_module()
class COCO20k(BaseDataset):
    """Images of an official COCO annotation file with the boxes of all objects but crowds.

    A data info holds `img_path`, `boxes` (x1, y1, x2, y2 each, rounded to whole pixels, halves to
    even, as LOST does) and `size` (width, height); `LoadBoxes` checks both against the image.
    Images without any box are left out, and their number is logged.

    Args:
        data_root: folder of COCO.
        ann_file: the instances_*.json.
        list_file: LOST's list of image files (arXiv 2109.14279), a path relative to `data_root`;
            folders in its lines are ignored. None takes all images of `ann_file`.
        data_prefix: folder of the images.
        **kwargs: as for mmengine's `BaseDataset`.

    Raises:
        MissingFileError: the annotations or the list do not exist.
        InputError: the JSON holds no COCO instances, the list names images that are not in it, an
            object belongs to no image, or a box has a negative side.
    """

    def __init__(
        self,
        data_root: str = "",
        ann_file: str = "annotations/instances_train2014.json",
        list_file: str | None = None,
        data_prefix: Mapping[str, str] | None = None,
        **kwargs: Any,
    ) -> None:
        self.list_file = None if list_file is None else str(Path(data_root) / list_file)
        folders = {"img_path": "train2014", **(data_prefix or {})}
        super().__init__(ann_file=ann_file, data_root=data_root, data_prefix=folders, **kwargs)

    def load_data_list(self) -> list[dict[str, Any]]:
        """Read the annotation file and the list."""
        images, objects = _read_instances(self.ann_file)
        boxes = _boxes(objects, {image["id"] for image in images}, self.ann_file)
        if self.list_file is not None:
            images = self._listed(images)
        infos = [
            {
                "img_path": str(Path(self.data_prefix["img_path"]) / image["file_name"]),
                "boxes": boxes[image["id"]],
                "size": (image["width"], image["height"]),
            }
            for image in images
            if image["id"] in boxes
        ]
        if not infos:
            raise InputError(f"no image of {self.ann_file} has an object that is no crowd.")
        if len(infos) < len(images):
            print_log(
                f"COCO20k: {len(images) - len(infos)} of {len(images)} images have no object that "
                "is no crowd, and are left out",
                logger="current",
                level=logging.WARNING,
            )
        return infos

    def _listed(self, images: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
        by_name = {Path(image["file_name"]).name: image for image in images}
        lines = read_names(str(self.list_file), remedy=_LIST)
        names = [Path(line).name for line in lines]
        absent = [name for name in names if name not in by_name]
        if absent:
            raise InputError(
                f"{len(absent)} of {len(names)} images of the list {self.list_file} are not in "
                f"{self.ann_file}, for example {absent[0]}. LOST's list belongs to "
                "instances_train2014.json; set list_file=None to take all images."
            )
        return [by_name[name] for name in names]


def _read_instances(path: str) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    if not Path(path).is_file():
        raise MissingFileError(
            f"the annotations {path} do not exist. Check ann_file and data_root, or get them from "
            "http://images.cocodataset.org/annotations/annotations_trainval2014.zip."
        )
    try:
        content = json.loads(Path(path).read_text(encoding="utf-8"))
    except ValueError as error:  # also what is no UTF-8
        raise InputError(
            f"{path} is no complete JSON ({error}). Unpack it again from the COCO download."
        ) from error
    needed = {
        "images": {"id", "file_name", "width", "height"},
        "annotations": {"image_id", "bbox"},
    }
    for part, keys in needed.items():
        items = content.get(part) if isinstance(content, dict) else None
        if not items or not all(isinstance(item, dict) and keys <= item.keys() for item in items):
            raise InputError(
                f"{path} is no COCO instances file: expected {part!r}, a list of objects with "
                f"{', '.join(sorted(keys))}. Set ann_file to an instances_*.json."
            )
    return content["images"], content["annotations"]


def _boxes(
    objects: Sequence[dict[str, Any]], known: set[int], path: str
) -> dict[int, list[list[int]]]:
    """Return the boxes of every image by its id, without crowds."""
    boxes: dict[int, list[list[int]]] = defaultdict(list)
    for item in objects:
        if item.get("iscrowd"):
            continue
        if item["image_id"] not in known:
            raise InputError(
                f"{path}: object {item.get('id')} belongs to image {item['image_id']}, which the "
                "file does not list. Unpack it again, or correct what wrote it."
            )
        # COCO holds a few boxes without area; nothing can find them, but they are not wrong.
        if len(item["bbox"]) != 4 or min(item["bbox"][2:]) < 0:
            raise InputError(
                f"{path}: object {item.get('id')} of image {item['image_id']} has the box "
                f"{item['bbox']}: expected x, y, and width and height of at least 0. Correct "
                "the file."
            )
        x, y, width, height = item["bbox"]
        boxes[item["image_id"]].append([round(v) for v in (x, y, x + width, y + height)])
    return boxes
