"""Data sets of images with depth maps: NYU Depth V2 and KITTI."""

from __future__ import annotations

import math
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from mmengine import fileio
from mmengine.dataset import BaseDataset
from mmengine.logging import print_log
from mmseg.registry import DATASETS

from ttr_backbones.datasets.annotations_error import AnnotationsError
from ttr_backbones.datasets.text_file import decode_text
from ttr_backbones.errors import InputError, MissingFileError
from ttr_backbones.folder_files import files_below

_NO_DEPTH = "None"


class _ListedDepth(BaseDataset):
    """Pairs of a list in BTS's layout; a data info holds `img_path`, `depth_map_path`, `focal`."""

    # Whether a line may say "None" in place of a depth map.
    gaps = False

    def __init__(
        self, *args: Any, backend_args: dict[str, Any] | None = None, **kwargs: Any
    ) -> None:
        self.backend_args = backend_args
        super().__init__(*args, **kwargs)

    def load_data_list(self) -> list[dict[str, Any]]:
        """Read `ann_file`."""
        if not fileio.isfile(self.ann_file, backend_args=self.backend_args):
            raise MissingFileError(
                f"{type(self).__name__}: the list {self.ann_file} does not exist or is no file. "
                "Check ann_file and data_root in the config."
            )
        content = fileio.get(self.ann_file, backend_args=self.backend_args)
        pairs, problems = self._pairs(decode_text(content, self.ann_file).splitlines())
        kept = [pair for pair in pairs if pair["depth_map_path"] is not None]
        if problems:
            raise AnnotationsError(self.ann_file, problems, kept)
        if not kept:
            raise InputError(
                f"{type(self).__name__}: the list {self.ann_file} names no image with depth: "
                "expected lines 'image depth focal'."
            )
        if len(kept) < len(pairs):
            print_log(
                f"{type(self).__name__}: {len(pairs) - len(kept)} of the {len(pairs)} images in "
                f"{self.ann_file} have no depth map ({_NO_DEPTH!r}) and are left out.",
                logger="current",
            )
        return kept

    def _pairs(self, lines: list[str]) -> tuple[list[dict[str, Any]], list[str]]:
        """Read every line before telling what is wrong, so that one look mends all."""
        pairs: list[dict[str, Any]] = []
        problems: list[str] = []
        for number, line in enumerate(lines, start=1):
            if not line.strip():
                continue
            try:
                pairs.append(self._pair(line, number))
            except InputError as error:
                problems.append(str(error))
        return pairs, problems

    def _pair(self, line: str, number: int) -> dict[str, Any]:
        # Some published lists hold more columns, for example a class mask.
        image, depth, focal, *_ = [*line.split(), "", "", ""]
        try:
            length = float(focal)
            if not math.isfinite(length):
                raise ValueError(focal)
        except ValueError:
            raise InputError(
                f"{self.ann_file}, line {number}: expected 'image depth focal' with a number for "
                f"the focal length, got {line.strip()!r}. Paths with spaces cannot be listed."
            ) from None
        if depth == _NO_DEPTH and not self.gaps:
            raise InputError(
                f"{self.ann_file}, line {number}: {type(self).__name__} expects a depth map for "
                f"every image, {image} has {_NO_DEPTH!r}. Remove the line."
            )
        without = depth == _NO_DEPTH
        return {
            "img_path": self._join("img_path", image),
            "depth_map_path": None if without else self._join("depth_map_path", depth),
            "focal": length,
            "seg_fields": [],
        }

    def _join(self, key: str, listed: str) -> str:
        """Return the path of a listed file, which begins with "/" in many lists."""
        path: str = fileio.join_path(self.data_prefix.get(key, ""), listed.lstrip("/\\"))
        return path


@DATASETS.register_module()
class NYUDepthV2(_ListedDepth):
    """NYU Depth V2 in BTS's layout or in mmseg's.

    With `ann_file`, a list of BTS or of the Monocular-Depth-Estimation-Toolbox: one line
    "image depth focal" a pair, relative to `data_root`. Without it, mmseg's folders: every image
    under `data_prefix["img_path"]` has the depth map of the same name under
    `data_prefix["depth_map_path"]`, in order of name.

    Args:
        ann_file: The list, `nyu_train.txt` or `nyu_test.txt`, or "".
        data_root: The folder that everything else is relative to.
        data_prefix: Folders of images and depth maps; both are `data_root` where not given.
        img_suffix: How image files end, in mmseg's layout.
        depth_map_suffix: How depth maps end there.
        **kwargs: As for mmengine's `BaseDataset`, and `backend_args`.
    """

    def __init__(
        self,
        ann_file: str = "",
        data_root: str = "",
        data_prefix: dict[str, str] | None = None,
        *,
        img_suffix: str = ".jpg",
        depth_map_suffix: str = ".png",
        **kwargs: Any,
    ) -> None:
        self.img_suffix, self.depth_map_suffix = img_suffix, depth_map_suffix
        prefix = {"img_path": "", "depth_map_path": ""} | (data_prefix or {})
        super().__init__(ann_file, data_root=data_root, data_prefix=prefix, **kwargs)

    def load_data_list(self) -> list[dict[str, Any]]:
        """List the pairs."""
        if self.ann_file:
            return super().load_data_list()
        images = self._stems("img_path", self.img_suffix)
        depths = self._stems("depth_map_path", self.depth_map_suffix)
        if images.keys() != depths.keys():
            raise InputError(
                "NYUDepthV2 expects a depth map of the same name for every image: "
                f"{_first(images, depths)} in {self.data_prefix['img_path']} have no depth map, "
                f"and {_first(depths, images)} in {self.data_prefix['depth_map_path']} no image. "
                "Complete the folders, or list the pairs in an ann_file."
            )
        return [
            {"img_path": path, "depth_map_path": depths[stem], "seg_fields": []}
            for stem, path in images.items()
        ]

    def _stems(self, key: str, suffix: str) -> dict[str, str]:
        """Return {path in the folder, without suffix: path}, in order of the former."""
        folder = self.data_prefix[key]
        if not fileio.isdir(folder, backend_args=self.backend_args):
            raise MissingFileError(
                f"NYUDepthV2: the folder {folder} (data_prefix.{key}) does not exist. Give "
                "ann_file='nyu_train.txt' for BTS's layout, or the folders of mmseg's."
            )
        found = sorted(self._names(folder, suffix))
        if not found:
            raise InputError(
                f"NYUDepthV2: the folder {folder} (data_prefix.{key}) holds no *{suffix}. Check "
                "data_root and data_prefix, or the suffixes img_suffix and depth_map_suffix."
            )
        return {name.removesuffix(suffix): fileio.join_path(folder, name) for name in found}

    def _names(self, folder: str, suffix: str) -> Iterable[str]:
        """Return the paths below a folder that end in `suffix`; each folder is entered once."""
        if self.backend_args is None and Path(folder).is_dir():
            paths = (file.relative_to(folder).as_posix() for file in files_below(folder))
            return (path for path in paths if path.endswith(suffix))
        names: Iterable[str] = fileio.list_dir_or_file(
            folder, list_dir=False, suffix=suffix, recursive=True, backend_args=self.backend_args
        )
        return names


@DATASETS.register_module()
class KITTIDepth(_ListedDepth):
    """KITTI depth on the Eigen split, in the Monocular-Depth-Estimation-Toolbox's layout.

    Images whose depth is listed as "None", 45 of the 697 test images, are left out; the log says
    how many.

    Args:
        ann_file: The list, `kitti_eigen_train.txt` or `kitti_eigen_test.txt`.
        data_root: The folder that everything else is relative to.
        data_prefix: Folders of images and depth maps, `input` and `gt_depth` where not given.
        **kwargs: As for mmengine's `BaseDataset`, and `backend_args`.
    """

    gaps = True

    def __init__(
        self,
        ann_file: str,
        data_root: str = "",
        data_prefix: dict[str, str] | None = None,
        **kwargs: Any,
    ) -> None:
        prefix = {"img_path": "input", "depth_map_path": "gt_depth"} | (data_prefix or {})
        super().__init__(ann_file, data_root=data_root, data_prefix=prefix, **kwargs)


def _first(names: dict[str, str], others: dict[str, str]) -> str:
    """Return how many of `names` are not among `others`, with the first three of them."""
    left = [name for name in names if name not in others]
    listed = ", ".join(left[:3]) + (", ..." if len(left) > 3 else "")
    return f"{len(left)} images ({listed})" if left else "0"
