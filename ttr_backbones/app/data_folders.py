"""Checking the data folders before anything slow begins; `check_data` opens the files."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from mmengine.config import Config, ConfigDict

from ttr_backbones.app.config import datasets, type_name
from ttr_backbones.errors import InputError, MissingFileError

_LOOKED_INTO = 100  # folders per level
_VOC2012 = (
    "PASCAL VOC 2012: http://host.robots.ox.ac.uk/pascal/VOC/voc2012/"
    "VOCtrainval_11-May-2012.tar, unpacked to VOCdevkit/VOC2012/{JPEGImages,"
    "SegmentationClass,ImageSets/Segmentation}"
)
_CONTEXT = (
    "PASCAL Context: the images of http://host.robots.ox.ac.uk/pascal/VOC/voc2010/"
    "VOCtrainval_03-May-2010.tar and trainval_merged.json of "
    "https://codalabuser.blob.core.windows.net/public/trainval_merged.json, converted by mmseg's "
    "tools/dataset_converters/pascal_context.py"
)
_COCO_IMAGES = "http://images.cocodataset.org/zips/val2017.zip"
_STUFF_MAPS = (
    "http://calvin.inf.ed.ac.uk/wp-content/uploads/data/cocostuffdataset/"
    "stuffthingmaps_trainval2017.zip"
)
_WHERE_TO_GET = {
    "ADE20KDataset": (
        "ADE20K: http://data.csail.mit.edu/places/ADEchallenge/ADEChallengeData2016.zip, unpacked "
        "to ADEChallengeData2016/{images,annotations}/{training,validation}"
    ),
    "PascalVOCDataset": _VOC2012,
    "PascalVOC20Dataset": _VOC2012,
    "PascalContextDataset": _CONTEXT,
    "PascalContextDataset59": _CONTEXT,
    "COCOObjectDataset": (
        f"COCO-Object: {_COCO_IMAGES} and {_STUFF_MAPS}, unpacked to coco_stuff164k/{{images,"
        "annotations}/val2017; the maps are taken as released"
    ),
    "COCOStuffDataset": (
        f"COCO-Stuff: {_COCO_IMAGES} and {_STUFF_MAPS}, unpacked to coco_stuff164k/{{images,"
        "annotations}/val2017, and the maps converted by mmseg's "
        "tools/dataset_converters/coco_stuff164k.py"
    ),
    "CityscapesDataset": (
        "Cityscapes: leftImg8bit_trainvaltest.zip and gtFine_trainvaltest.zip of "
        "https://www.cityscapes-dataset.com, unpacked to cityscapes/{leftImg8bit,gtFine}, and "
        "the label maps made by mmseg's tools/dataset_converters/cityscapes.py"
    ),
    "VOCBoxes": (
        "PASCAL VOC: http://host.robots.ox.ac.uk/pascal/VOC/voc2007/VOCtrainval_06-Nov-2007.tar or "
        ".../voc2012/VOCtrainval_11-May-2012.tar, unpacked to VOCdevkit/VOC20{07,12}/{JPEGImages,"
        "Annotations,ImageSets/Main}"
    ),
    "COCO20k": (
        "COCO: http://images.cocodataset.org/zips/train2014.zip and "
        "http://images.cocodataset.org/annotations/annotations_trainval2014.zip, unpacked to "
        "coco/{train2014,annotations}, and LOST's list datasets/coco_20k_filenames.txt of "
        "github.com/valeoai/LOST"
    ),
    "NYUDepthV2": (
        "NYU Depth V2: the test images from nyu_depth_v2_labeled.mat (https://cs.nyu.edu/"
        "~silberman/datasets/nyu_depth_v2.html) with `ttrb prepare nyu --mat ... --splits ...`, "
        "the training images from BTS's sync.zip (link and lists in github.com/cleinc/bts) with "
        "`ttrb prepare nyu --bts sync.zip`"
    ),
    "KITTIDepth": (
        "KITTI: the raw data and the annotated depth maps of "
        "https://www.cvlibs.net/datasets/kitti/eval_depth.php, as input/<date>/<drive> and "
        "gt_depth/<drive>, and kitti_eigen_{train,test}.txt of "
        "github.com/zhyever/Monocular-Depth-Estimation-Toolbox, splits"
    ),
    "ImageNetSegmentation": (
        "ImageNet-Segmentation: http://calvin-vision.net/bigstuff/proj-imagenet/data/"
        "gtsegs_ijcv.mat, into imagenet_seg/"
    ),
    "ClassFolders": (
        "ImageNet: ILSVRC2012_img_{train,val}.tar of https://image-net.org, unpacked to imagenet/"
        "{train,val}/<WordNet id>/*.JPEG; any images in one folder per class will do"
    ),
    "TypographicAttacks": (
        "RTA-100: rta100.zip of github.com/azuma164/Defense-Prefix; any images called "
        "label=OBJECT_text=WORD.png in one folder will do"
    ),
}

# They read their lists in any Unicode encoding; mmseg's in UTF-8 without a mark.
_ANY_ENCODING = ("VOCBoxes", "COCO20k", "NYUDepthV2", "KITTIDepth", "ClassFolders")


def check_folders(cfg: Config, *loaders: str) -> None:
    """Check the folders of every data set of `loaders`, see `check_dataset_folders`."""
    for loader, dataset in datasets(cfg, loaders):
        check_dataset_folders(loader, dataset)


def check_dataset_folders(
    loader: str, dataset: ConfigDict, *, data_root_option: bool = True
) -> None:
    """Check that every folder and list that the config of a data set names exists and holds files.

    Args:
        loader: name of its data loader, for the message.
        dataset: its config.
        data_root_option: whether the command has `--data-root`, which the message advises then.

    Raises:
        MissingFileError: With what was expected where, and where to get it.
        InputError: A list is in an encoding that its data set cannot read.
    """
    root = str(dataset.get("data_root") or "")
    if "://" in root:
        return  # a remote storage of mmengine
    for key, path, is_folder in _paths(dataset, Path(root)):
        problem = _problem(path, is_folder=is_folder)
        if problem:
            kind, near = type_name(dataset), _elsewhere(dataset, Path(root))
            asked = f": did you mean --data-root {near}?" if data_root_option else "."
            hint = f"{near} has all of it{asked} " if near else ""
            hint += _where_to_get(kind) + (_option(root) if data_root_option else "")
            raise MissingFileError(
                f"{loader}: {kind} expects {'a folder' if is_folder else 'a list'} at {path} "
                f"({key} of the config), which {problem}. {hint}".rstrip()
            )
        if not is_folder and path.suffix == ".txt" and type_name(dataset) not in _ANY_ENCODING:
            _check_encoding(path)


def missing_path(dataset: ConfigDict) -> Path | None:
    """Return the first folder or list that the config of a data set names in vain, or None."""
    root = Path(str(dataset.get("data_root") or ""))
    found = (path for _, path, _ in _paths(dataset, root))
    return next((path for path in found if not path.exists()), None)


def _check_encoding(path: Path) -> None:
    """Refuse what a data set that reads UTF-8 would take for other names."""
    from ttr_backbones.datasets.text_file import decode_text

    content = path.read_bytes()
    text = decode_text(content, path)
    if content != text.encode():
        raise InputError(
            f"the list {path} begins with a byte-order mark or is in UTF-16 or UTF-32: expected "
            "UTF-8 without a mark. Save it so."
        )


def _paths(dataset: ConfigDict, root: Path) -> Iterator[tuple[str, Path, bool]]:
    """Yield (key, path, is a folder), from the outer to the inner."""
    if dataset.get("data_root"):
        yield "data_root", root, True
    prefixes = dataset.get("data_prefix")
    for key, folder in (prefixes if isinstance(prefixes, dict) else {}).items():
        if isinstance(folder, str) and folder:
            yield f"data_prefix.{key}", root / folder, True
    if isinstance(dataset.get("ann_file"), str) and dataset["ann_file"]:
        yield "ann_file", root / dataset["ann_file"], False


def _elsewhere(dataset: ConfigDict, root: Path) -> Path | None:
    """Return a folder near `root`, inside, around or beside it, in which everything is there."""
    for near in _folders_near(root.expanduser()):
        found = list(_paths(dataset, near))
        asks_for_more = any(path != near for _, path, _ in found)
        if asks_for_more and not any(_problem(path, is_folder=f) for _, path, f in found):
            return near
    return None


def _folders_near(root: Path) -> Iterator[Path]:
    inside: list[Path] = _folders_in(root)
    yield from inside
    for folder in inside[:_LOOKED_INTO]:
        yield from _folders_in(folder)
    around = list(root.absolute().parents)[:2]
    yield from around
    for folder in around:
        yield from _folders_in(folder)


def _folders_in(folder: Path) -> list[Path]:
    try:
        return sorted(path for path in folder.iterdir() if path.is_dir())[:_LOOKED_INTO]
    except OSError:
        return []


def _problem(path: Path, *, is_folder: bool) -> str | None:
    if not path.exists():
        return "does not exist"
    if is_folder and not path.is_dir():
        return "is a file"
    empty = next(path.iterdir(), None) is None if path.is_dir() else path.stat().st_size == 0
    return "is empty" if empty else None


def _where_to_get(kind: str) -> str:
    source = _WHERE_TO_GET.get(kind)
    return f"Get {source}. " if source else ""


def _option(root: str) -> str:
    return (
        f"If the data lies elsewhere, give its folder with --data-root (now: {root or 'none'})"
        ", relative to the current directory."
    )
