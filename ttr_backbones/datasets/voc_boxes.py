"""PASCAL VOC 2007 and 2012 with the boxes of the official XML files."""

from __future__ import annotations

import logging
import math
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

from mmengine.dataset import BaseDataset
from mmengine.logging import print_log
from mmseg.registry import DATASETS

from ttr_backbones.datasets.annotations_error import AnnotationsError
from ttr_backbones.datasets.name_list import read_names
from ttr_backbones.datasets.text_file import marked_encoding
from ttr_backbones.errors import InputError, MissingFileError

_DECLARED = re.compile(rb"""\s*<\?xml[^>]*?encoding=["']([\w.:-]+)["']""")


@DATASETS.register_module()
class VOCBoxes(BaseDataset):
    """Images of PASCAL VOC with the boxes of all objects, whatever their class.

    A data info holds `img_path`, `boxes` (x1, y1, x2, y2 each) and `size` (width, height) as the
    XML gives it; `LoadBoxes` checks both against the image. VOC counts pixels from 1 and includes
    the last one, so xmin and ymin are lowered by 1, as LOST does (arXiv 2109.14279).

    Args:
        data_root: VOCdevkit/VOC2007 or VOCdevkit/VOC2012.
        ann_file: list of image names.
        data_prefix: folders of the images and of the XML files.
        hard: False leaves out difficult and truncated objects, then images without any other
            (LOST's `--no_hard`). An XML without these two marks has neither.
        **kwargs: as for mmengine's `BaseDataset`.

    Raises:
        MissingFileError: an XML file or the list does not exist.
        InputError: a file that is no VOC annotation, without objects or with an inverted box.
    """

    def __init__(
        self,
        data_root: str = "",
        ann_file: str = "ImageSets/Main/trainval.txt",
        data_prefix: Mapping[str, str] | None = None,
        hard: bool = True,
        **kwargs: Any,
    ) -> None:
        self.hard = hard
        folders = {"img_path": "JPEGImages", "ann_path": "Annotations", **(data_prefix or {})}
        super().__init__(ann_file=ann_file, data_root=data_root, data_prefix=folders, **kwargs)

    def load_data_list(self) -> list[dict[str, Any]]:
        """Read the XML file of every listed image."""
        names = read_names(self.ann_file, remedy="Check data_root and ann_file.")
        infos = self._read_all(names)
        left_out = sum(info.pop("left_out") for info in infos)
        kept = [info for info in infos if info["boxes"]]
        if not self.hard:
            print_log(
                f"VOCBoxes: hard=False leaves out {left_out} difficult or truncated objects and "
                f"{len(infos) - len(kept)} of {len(infos)} images, which have no other",
                logger="current",
                level=logging.INFO,
            )
        if not kept:
            raise InputError(
                f"hard=False leaves no image of {self.ann_file}: all objects are difficult or "
                "truncated. Set hard=True."
            )
        return kept

    def _read_all(self, names: list[str]) -> list[dict[str, Any]]:
        """Read every annotation before telling what is wrong, so that one look mends all."""
        infos: list[dict[str, Any]] = []
        errors: list[InputError] = []
        for name in names:
            try:
                infos.append(self._read(name))
            except InputError as error:  # noqa: PERF203 (all are wanted, and files cost more)
                errors.append(error)
        if len(errors) == len(names) == 1:
            raise errors[0]
        if errors:
            raise AnnotationsError(self.ann_file, [str(error) for error in errors], infos)
        return infos

    def _read(self, name: str) -> dict[str, Any]:
        path = Path(self.data_prefix["ann_path"]) / f"{name}.xml"
        root = _parse(path)
        objects = root.findall("object")
        if not objects:
            raise InputError(
                f"{path} holds no object, so no box could be found there. Take {name} out of "
                f"{self.ann_file}, or complete the file."
            )
        chosen = [node for node in objects if self.hard or not _is_hard(node)]
        width, height = _numbers(root, "size", ("width", "height"), path)
        return {
            "img_path": str(Path(self.data_prefix["img_path"]) / f"{name}.jpg"),
            "boxes": [_box(node, path) for node in chosen],
            "size": (int(width), int(height)),
            "left_out": len(objects) - len(chosen),
        }


def _parse(path: Path) -> ET.Element:
    try:
        root = ET.fromstring(_xml_text(path.read_bytes()))
    except FileNotFoundError:
        raise MissingFileError(
            f"the annotation {path} does not exist, though the list names it. Check data_root, "
            "data_prefix.ann_path and ann_file, or complete the download."
        ) from None
    except LookupError:
        raise InputError(
            f"{path} declares an unknown encoding: {path.read_bytes()[:80]!r}. Save it as UTF-8."
        ) from None
    except (ET.ParseError, ValueError) as error:
        raise InputError(
            f"{path} is no XML ({error}). Copy it again from the VOC download."
        ) from error
    except OSError as error:
        raise InputError(
            f"{path} cannot be read: {error.strerror}. Check its permissions and its disk."
        ) from error
    if root.tag != "annotation":
        raise InputError(
            f"{path} begins with <{root.tag}>: expected a VOC <annotation>. Check "
            "data_prefix.ann_path."
        )
    return root


def _xml_text(content: bytes) -> str:
    """Decode XML in any encoding that it declares; Python's parser knows no multi-byte ones."""
    marked = marked_encoding(content)
    declared = _DECLARED.match(content)
    for encoding in (marked, declared and declared.group(1).decode("ascii"), "utf-8"):
        if encoding:
            try:
                return content.decode(encoding)
            except UnicodeDecodeError:
                continue
    # Only tags and numbers are used, and they are ASCII in every 8-bit encoding.
    return content.decode("latin-1")


def _is_hard(node: ET.Element) -> bool:
    return any(node.findtext(mark, "0").strip() == "1" for mark in ("difficult", "truncated"))


def _box(node: ET.Element, path: Path) -> list[float]:
    xmin, ymin, xmax, ymax = _numbers(node, "bndbox", ("xmin", "ymin", "xmax", "ymax"), path)
    if not (xmin - 1 < xmax and ymin - 1 < ymax):
        raise InputError(
            f"{path} holds the inverted box xmin={xmin:g} ymin={ymin:g} xmax={xmax:g} "
            f"ymax={ymax:g}: expected xmin <= xmax and ymin <= ymax. Correct the file."
        )
    return [xmin - 1, ymin - 1, xmax, ymax]


def _numbers(node: ET.Element, part: str, keys: tuple[str, ...], path: Path) -> list[float]:
    texts = [node.findtext(f"{part}/{key}") for key in keys]
    try:
        # Some boxes of VOC 2012 have fractions.
        numbers = [float(text or "") for text in texts]
        if not all(map(math.isfinite, numbers)):
            raise ValueError(texts)
        return numbers
    except ValueError:
        raise InputError(
            f"{path}: <{part}> of <{node.tag}> gives {dict(zip(keys, texts, strict=True))}, "
            "expected a number for each. Copy the file again from the VOC download."
        ) from None
