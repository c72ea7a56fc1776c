"""Lists of images and their classes, for images in one flat folder."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from ttr_backbones.datasets.text_file import read_text
from ttr_backbones.errors import InputError, MissingFileError
from ttr_backbones.images.photos import photo_files

_META = "meta.mat"
_FORMS = (
    "expected lines 'image class', a class by the name of its folder or by its number from 0 on, "
    "or the ILSVRC2012_validation_ground_truth.txt of ImageNet's devkit"
)

Labels = list[tuple[Path, int]]


def listed_classes(
    file: Path, folder: Path, classes: Sequence[str] | None
) -> tuple[list[str], Labels]:
    """Read a list of images and their classes, see `ClassFolders`.

    Args:
        file: the list.
        folder: of the images.
        classes: what the classes are; None leaves it to the list.

    Returns:
        The classes, and every image with the number of its own.

    Raises:
        MissingFileError: the list, an image or meta.mat does not exist.
        InputError: the list is in no known form, or names no class or an image twice.
    """
    if not file.is_file():
        raise MissingFileError(f"the list {file} does not exist: {_FORMS}")
    lines = [line.strip() for line in read_text(file).splitlines() if line.strip()]
    if not lines:
        raise InputError(f"the list {file} is empty: {_FORMS}")
    if all(line.isdecimal() for line in lines):
        return _official(file, folder, [int(line) for line in lines], classes)
    rows = [line.rsplit(maxsplit=1) for line in lines]
    if bad := [line for line, row in zip(lines, rows, strict=True) if len(row) != 2]:
        raise InputError(f"{file} has the line {bad[0]!r}: {_FORMS}")
    names = [name for name, _ in rows]
    repeated, times = Counter(names).most_common(1)[0]
    if times > 1:
        raise InputError(f"{file} names the image {repeated} {times} times: remove the repetition")
    if absent := [name for name in names if not (folder / name).is_file()]:
        raise MissingFileError(
            f"{len(absent)} of {len(names)} images of the list {file} are not in {folder}, for "
            f"example {absent[0]}. Check data_prefix.img_path and ann_file"
        )
    known, labels = _numbered([label for _, label in rows], file, classes)
    return known, [(folder / name, label) for name, label in zip(names, labels, strict=True)]


def _numbered(
    written: Sequence[str], file: Path, classes: Sequence[str] | None
) -> tuple[list[str], list[int]]:
    """Turn classes as a list writes them into numbers."""
    are_numbers = all(label.isdecimal() for label in written)
    if classes is None and are_numbers:
        raise InputError(
            f"{file} gives the classes by number, and nothing says what they are: set classes_of "
            "to a folder with one folder per class, as the one of the training images"
        )
    known = sorted(set(written)) if classes is None else list(classes)
    if are_numbers and not set(written) <= set(known):
        places = {str(number): number for number in range(len(known))}
        labels = [places.get(str(int(label))) for label in written]
        form = f"a number from 0 to {len(known) - 1}"
    else:
        places = {name: number for number, name in enumerate(known)}
        labels = [places.get(label) for label in written]
        form = f"one of the {len(known)} class folders, as {known[0]!r}"
    found = [label for label in labels if label is not None]
    if len(found) < len(labels):
        unknown = written[labels.index(None)]
        raise InputError(f"{file} gives the class {unknown!r}: expected {form}")
    return known, found


def _official(
    file: Path, folder: Path, numbers: Sequence[int], classes: Sequence[str] | None
) -> tuple[list[str], Labels]:
    """Take ImageNet's official numbers, which follow no order of names, for those images."""
    images = photo_files(folder)
    if len(images) != len(numbers):
        raise InputError(
            f"{file} has {len(numbers)} lines and {folder} {len(images)} images: expected one "
            "line for every image, in order of name"
        )
    wordnet = _wordnet_ids(file.parent / _META)
    known = sorted(wordnet.values()) if classes is None else list(classes)
    places = {name: number for number, name in enumerate(known)}
    labels = [places.get(wordnet.get(number, "")) for number in numbers]
    found = [label for label in labels if label is not None]
    if len(found) < len(labels):
        number = numbers[labels.index(None)]
        raise InputError(
            f"{file} gives the class {number} ({wordnet.get(number, 'not in meta.mat')}), which is "
            "none of the class folders: the training images have to be all of ImageNet's"
        )
    return known, list(zip(images, found, strict=True))


def _wordnet_ids(file: Path) -> dict[int, str]:
    """Return {ILSVRC2012_ID: WordNet id} of the devkit's meta.mat, of classes without children."""
    from scipy.io import loadmat

    if not file.is_file():
        raise MissingFileError(
            f"{file} does not exist: the official list gives the classes by numbers of the devkit, "
            "whose data/meta.mat says which these are. Put it there"
        )
    try:
        synsets = loadmat(file, squeeze_me=True)["synsets"]
        return {
            int(row["ILSVRC2012_ID"]): str(row["WNID"])
            for row in synsets
            if int(row["num_children"]) == 0
        }
    except (KeyError, ValueError, TypeError, IndexError, NotImplementedError) as error:
        raise InputError(
            f"{file} is not the meta.mat of ImageNet's devkit ({error}): copy it again from "
            "ILSVRC2012_devkit_t12/data"
        ) from error
