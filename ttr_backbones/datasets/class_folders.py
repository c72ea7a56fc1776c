"""Images of classes, one folder per class, as ImageNet has them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mmengine.dataset import BaseDataset
from mmseg.registry import DATASETS

from ttr_backbones.datasets.annotations_error import AnnotationsError
from ttr_backbones.datasets.class_list import listed_classes
from ttr_backbones.errors import InputError, MissingFileError
from ttr_backbones.folder_files import files_below
from ttr_backbones.images.photos import SUFFIXES, check_names

_SHOWN = 5


@DATASETS.register_module()
class ClassFolders(BaseDataset):
    """The images of one folder per class; the classes are numbered in order of name.

    A data info holds `img_path` and `gt_label`, and `metainfo["classes"]` the names of the folders
    (of ImageNet the WordNet numbers, in the order of every published head). Images may lie in
    folders of their class's folder. ImageNet is `train/n01440764/*.JPEG` and the same under `val`,
    or the official flat `val/*.JPEG` with a list as `ann_file`:

    - lines "image class", where a class is the name of its folder or its number from 0 on
      (`val.txt` of Caffe and mmpretrain),
    - or one number per line, in order of the images' names: ILSVRC2012_validation_ground_truth.txt
      of the official devkit, whose meta.mat then has to lie beside it.

    Args:
        data_root: folder that the others lie in.
        data_prefix: `img_path`, the folder of the class folders, or with `ann_file` of the images.
        ann_file: list of images and classes; "" where the folders tell the classes.
        classes_of: another folder of class folders, as "train" for the images of the validation,
            that has to have the same classes; with a list it says what the classes are.
        **kwargs: as for mmengine's `BaseDataset`.

    Raises:
        MissingFileError: a folder, a list or a listed image does not exist.
        InputError: less than two classes, a class without any image, a list that cannot be read,
            or other classes than those of `classes_of`.
    """

    def __init__(
        self,
        data_root: str = "",
        data_prefix: Mapping[str, str] | None = None,
        ann_file: str = "",
        classes_of: str | None = None,
        **kwargs: Any,
    ) -> None:
        self.classes_of = None if classes_of is None else Path(data_root) / classes_of
        folders = {"img_path": "", **(data_prefix or {})}
        super().__init__(ann_file=ann_file, data_root=data_root, data_prefix=folders, **kwargs)

    @classmethod
    def classes_on_disk(cls, config: Mapping[str, Any]) -> tuple[str, ...]:
        """Return the names of the classes of a config, () where the folders are not there."""
        prefix = (config.get("data_prefix") or {}).get("img_path", "")
        root = Path(config.get("data_root") or "")
        folder = root / (config.get("classes_of") or ("" if config.get("ann_file") else prefix))
        return tuple(class_names(folder)) if folder.is_dir() else ()

    def load_data_list(self) -> list[dict[str, Any]]:
        """List the images and set the classes."""
        folder = Path(self.data_prefix["img_path"] or self.data_root)
        expected = None if self.classes_of is None else class_names(self.classes_of)
        if self.ann_file:
            classes, labels = listed_classes(Path(self.ann_file), folder, expected)
        else:
            classes = class_names(folder)
            if expected is not None and classes != expected:
                raise InputError(_different(folder, classes, Path(str(self.classes_of)), expected))
            labels = _labels_of_folders(folder, classes)
        check_names([path for path, _ in labels])
        # What a metainfo of the config says of the classes would be of other numbers.
        self._metainfo["classes"] = tuple(classes)
        return [{"img_path": str(path), "gt_label": label} for path, label in labels]


def class_names(folder: Path) -> list[str]:
    """Return the names of the folders in a folder, in order.

    Raises:
        MissingFileError: no such folder.
        InputError: it holds less than two folders.
    """
    if not folder.is_dir():
        raise MissingFileError(
            f"{folder}: no such folder; expected one with a folder of images for every class. Give "
            "its place with --data-root, data_prefix.img_path or classes_of (None, if no other "
            "images have to have the same classes)"
        )
    names = sorted(path.name for path in folder.iterdir() if path.is_dir())
    if len(names) < 2:
        raise InputError(
            f"{folder} holds {len(names) or 'no'} folder{'s' * (len(names) != 1)}: expected one "
            "folder of images for every class, at least two. Images in one flat folder need a list "
            "of their classes as ann_file"
        )
    return names


def _labels_of_folders(folder: Path, classes: list[str]) -> list[tuple[Path, int]]:
    labels: list[tuple[Path, int]] = []
    problems = []
    for label, name in enumerate(classes):
        files = [f for f in files_below(folder / name) if f.suffix.lower() in SUFFIXES]
        labels += [(file, label) for file in files]
        if not files:
            problems.append(
                f"the folder {folder / name} holds no image: expected some of the class {name!r}. "
                "Remove the folder if it is no class"
            )
    if problems:
        right = [{"img_path": str(path), "gt_label": label} for path, label in labels]
        raise AnnotationsError(str(folder), problems, right)
    return labels


def _different(folder: Path, classes: list[str], other: Path, expected: list[str]) -> str:
    more = [name for name in classes if name not in expected]
    absent = [name for name in expected if name not in classes]
    parts = [
        f"{len(names)} only in {place}: {', '.join(names[:_SHOWN])}"
        + (", ..." if len(names) > _SHOWN else "")
        for place, names in ((folder, more), (other, absent))
        if names
    ]
    return (
        f"{folder} has other classes than {other}, and a class is numbered by its place among "
        f"them: {'; '.join(parts)}. Give both the same folders"
    )
