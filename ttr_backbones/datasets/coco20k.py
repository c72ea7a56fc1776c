"""COCO20k: LOST's list of images of COCO train2014, with their boxes."""

from __future__ import annotations

import logging
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from mmengine.dataset import BaseDataset
from mmengine.logging import print_log
from mmseg.registry import DATASETS

from ttr_backbones.datasets.annotations_error import AnnotationsError
from ttr_backbones.datasets.coco_instances import Instances
from ttr_backbones.datasets.name_list import read_names
from ttr_backbones.errors import InputError

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
            its lines and the file names of `ann_file` may have more or fewer folders in front, as
            long as each line fits one image. None takes all images of `ann_file`.
        data_prefix: folder of the images.
        **kwargs: as for mmengine's `BaseDataset`.

    Raises:
        MissingFileError: the annotations or the list do not exist.
        InputError: the JSON holds no COCO instances, the list names images that are not in it, or
            images or objects are wrong (a box that is no four numbers, an image that is not there).
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
        instances = Instances(self.ann_file)
        images, boxes = instances.images, instances.boxes
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
        if instances.problems:
            raise AnnotationsError(self.ann_file, instances.problems, infos)
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
        lines = read_names(str(self.list_file), remedy=_LIST)
        by_name = defaultdict(list)
        for image in images:
            by_name[Path(image["file_name"]).name].append(image)
        found = [_of_line(line, by_name[Path(line).name]) for line in lines]
        absent = [line for line, images in zip(lines, found, strict=True) if not images]
        if absent:
            raise InputError(
                f"{len(absent)} of {len(lines)} images of the list {self.list_file} are not in "
                f"{self.ann_file}, for example {absent[0]}. LOST's list belongs to "
                "instances_train2014.json; set list_file=None to take all images."
            )
        for line, images in zip(lines, found, strict=True):
            if len(images) > 1:
                raise InputError(
                    f"the list {self.list_file} names {line}, which can be any of "
                    f"{', '.join(image['file_name'] for image in images)} in {self.ann_file}. "
                    "Write the folder into the list."
                )
        chosen = [images[0] for images in found]
        repeated, times = Counter(image["file_name"] for image in chosen).most_common(1)[0]
        if times > 1:
            raise InputError(
                f"the list {self.list_file} names {repeated} {times} times, and each image is "
                "scored once. Remove the repetition."
            )
        return chosen


def _of_line(line: str, images: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return those images of one file name whose path ends as the line does, or the reverse."""
    exact = [image for image in images if image["file_name"] == line]
    return exact or [image for image in images if _agree(Path(line), Path(image["file_name"]))]


def _agree(first: Path, second: Path) -> bool:
    depth = min(len(first.parts), len(second.parts))
    return first.parts[-depth:] == second.parts[-depth:]
