"""The images and boxes of a COCO instances file, every part of it checked."""

from __future__ import annotations

import json
import math
from collections import defaultdict
from pathlib import Path
from typing import Any

from ttr_backbones.datasets.text_file import read_text
from ttr_backbones.errors import InputError, MissingFileError

_NEEDED = {"images": {"id", "file_name", "width", "height"}, "annotations": {"image_id", "bbox"}}


class Instances:
    """What `path` holds.

    Attributes:
        images: The image objects that nothing is wrong with, in the file's order.
        boxes: x1, y1, x2, y2 in whole pixels of the objects of every image that are no crowds,
            by image id.
        named_boxes: the same by image id and name of the category; without a name, none.
        problems: What is wrong, one message per image or object.

    Raises:
        MissingFileError: The file does not exist.
        InputError: It is no JSON, in no known encoding, or no COCO instances file.
    """

    def __init__(self, path: str) -> None:
        self.path = path
        self.problems: list[str] = []
        content = _read(path)
        self.images = self._images(content["images"])
        self._names = _category_names(content.get("categories"))
        self.named_boxes: dict[Any, dict[str, list[list[int]]]] = {}
        self.boxes = self._boxes(content["annotations"], {image["id"] for image in self.images})

    def _images(self, items: list[Any]) -> list[dict[str, Any]]:
        images: list[dict[str, Any]] = []
        ids: set[Any] = set()
        files: dict[str, Any] = {}
        for number, image in enumerate(items):
            wrong = _missing(image, "images") or _wrong_image(image)
            if not wrong and image["id"] in ids:
                wrong = "has the id of another image: expected an id of its own"
            if not wrong and (other := files.get(image["file_name"])) is not None:
                wrong = f"has the file of image {other!r}: expected each file once"
            if wrong:
                self._note("image", image, number, wrong)
                continue
            ids.add(image["id"])
            files[image["file_name"]] = image["id"]
            images.append(image)
        return images

    def _boxes(self, items: list[Any], known: set[Any]) -> dict[Any, list[list[int]]]:
        boxes: dict[Any, list[list[int]]] = defaultdict(list)
        has_problems = bool(self.problems)  # a wrong image leaves its objects without one
        for number, item in enumerate(items):
            if isinstance(item, dict) and item.get("iscrowd") and "bbox" in item:
                continue
            wrong = _missing(item, "annotations") or _wrong_box(item)
            if not wrong and item["image_id"] not in known:
                if has_problems:
                    continue
                wrong = f"belongs to image {item['image_id']}, which the file does not list"
            if wrong:
                self._note("object", item, number, wrong)
                continue
            x, y, width, height = item["bbox"]
            corners = [round(v) for v in (x, y, x + width, y + height)]
            boxes[item["image_id"]].append(corners)
            if (name := self._names.get(str(item.get("category_id")))) is not None:
                of_image = self.named_boxes.setdefault(item["image_id"], {})
                of_image.setdefault(name, []).append(corners)
        return boxes

    def _note(self, noun: str, item: Any, number: int, wrong: str) -> None:
        name = f"{noun} number {number + 1}"
        if isinstance(item, dict) and "id" in item:
            name = f"{noun} {_short(item['id'])}"
        self.problems.append(f"{self.path}: {name} {wrong}. Correct the file.")


def _read(path: str) -> dict[str, list[Any]]:
    if not Path(path).is_file():
        raise MissingFileError(
            f"the annotations {path} do not exist. Check ann_file and data_root, or get them from "
            "http://images.cocodataset.org/annotations/annotations_trainval2014.zip."
        )
    text = read_text(path)
    try:
        content = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise InputError(
            f"{path} is no complete JSON ({error}). Unpack it again from the COCO download."
        ) from error
    for part, keys in _NEEDED.items():
        items = content.get(part) if isinstance(content, dict) else None
        # Where no object is as expected, the file is another kind: captions, results, ...
        if not isinstance(items, list) or all(_missing(item, part) for item in items):
            raise InputError(
                f"{path} is no COCO instances file: expected {part!r}, a list of objects with "
                f"{', '.join(sorted(keys))}. Set ann_file to an instances_*.json."
            )
    return content


def _category_names(items: Any) -> dict[str, str]:
    """Names by id; a file may have none, which box discovery needs not."""
    found = items if isinstance(items, list) else []
    return {
        str(item["id"]): item["name"]
        for item in found
        if isinstance(item, dict) and "id" in item and isinstance(item.get("name"), str)
    }


def _missing(item: Any, part: str) -> str | None:
    if not isinstance(item, dict):
        return f"is {_short(item)}: expected an object with {', '.join(sorted(_NEEDED[part]))}"
    absent = sorted(_NEEDED[part] - item.keys())
    return f"has no {' and no '.join(absent)}" if absent else None


def _wrong_image(image: dict[str, Any]) -> str | None:
    if not _is_id(image["id"]):
        return "has an id that is no whole number or text"
    if not isinstance(image["file_name"], str) or not image["file_name"]:
        return f"has the file_name {_short(image['file_name'])}: expected a path"
    size = (image["width"], image["height"])
    if not all(_is_number(side) and side >= 1 for side in size):
        return f"has the width and height {_short(list(size))}: expected numbers of pixels"
    return None


def _wrong_box(item: dict[str, Any]) -> str | None:
    if not _is_id(item["image_id"]):
        return f"has the image_id {_short(item['image_id'])}: expected a whole number or text"
    box = item["bbox"]
    # COCO holds a few boxes without area; nothing can find them, but they are not wrong.
    if isinstance(box, list) and len(box) == 4 and all(map(_is_number, box)) and min(box[2:]) >= 0:
        return None
    return (
        f"of image {item['image_id']} has the box {_short(box)}: expected x, y, and width and "
        "height of at least 0, four finite numbers"
    )


def _is_id(value: Any) -> bool:
    return isinstance(value, int | str) and not isinstance(value, bool)


def _is_number(value: Any) -> bool:
    try:
        return isinstance(value, int | float) and math.isfinite(value) and value is not True
    except OverflowError:  # a whole number beyond any float
        return False


def _short(value: Any) -> str:
    text = json.dumps(value)
    return text if len(text) <= 100 else f"{text[:100]}..."
