"""NYU Depth V2 from its official labelled file, as the depth benchmarks use it.

The 654 test images that everybody scores on are those of BTS (github.com/cleinc/bts,
utils/extract_official_train_test_set_from_mat.py at 8156117). The facts, which this follows:

- Depth is `rawDepths`, not the inpainted `depths`: metres times 1000, cut off to uint16, in a PNG.
- Of the image, rows 7..473 and columns 7..631 are kept and the rest is black: its white frame comes
  from undistortion. It is a JPEG of OpenCV's default quality, 95.
- Arrays are stored transposed, [width, height] each; the split counts images from 1, file names
  count from 0.
- An image lies in the folder of its scene's type: `bathroom/rgb_00045.jpg`,
  `bathroom/sync_depth_00045.png`. BTS's training images lie in folders of single scenes
  (`bathroom_0001`), so that both fit into one data root.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from ttr_backbones.errors import InputError, MissingFileError

FOCAL = "518.8579"  # pixels, as in every published list
_KEYS = ("images", "rawDepths", "sceneTypes")
_ROWS, _COLUMNS = slice(7, 474), slice(7, 632)


class LabelledNYU:
    """`nyu_depth_v2_labeled.mat` and `splits.mat`, open for reading; close it, or use `with`.

    Args:
        mat: the labelled data set, a MATLAB 7.3 (HDF5) file of 2.8 GB.
        splits: the official split into 795 training and 654 test images.
    """

    def __init__(self, mat: Path, splits: Path) -> None:
        self._file = _open_hdf5(mat)
        absent = [key for key in _KEYS if key not in self._file]
        if absent:
            raise InputError(
                f"{mat} has no {', '.join(absent)}, it holds {', '.join(self._file)[:200]}: "
                "expected nyu_depth_v2_labeled.mat, the labelled data set of NYU Depth V2."
            )
        self._images, self._depths = self._file["images"], self._file["rawDepths"]
        count, _, width, height = (*self._images.shape, 0, 0, 0, 0)[:4]
        shapes = (self._images.shape, self._depths.shape)
        if shapes != ((count, 3, width, height), (count, width, height)):
            raise InputError(
                f"{mat} holds images {list(shapes[0])} and rawDepths {list(shapes[1])}: expected "
                "[1449, 3, 640, 480] and [1449, 640, 480]. Download the file again."
            )
        self._splits = _read_splits(splits, count)

    def __enter__(self) -> LabelledNYU:
        return self

    def __exit__(self, *exception: object) -> None:
        self._file.close()

    def numbers(self, split: str) -> list[int]:
        """Return the numbers, counted from 0, of the images of "train" or "test"."""
        return self._splits[split]

    def paths(self, number: int) -> tuple[str, str]:
        """Return where the image and its depth map belong, below the data root."""
        characters = self._file[self._file["sceneTypes"][0][number]]
        scene = "".join(map(chr, np.asarray(characters).ravel()))
        return f"{scene}/rgb_{number:05d}.jpg", f"{scene}/sync_depth_{number:05d}.png"

    def encode(self, number: int) -> tuple[bytes, bytes]:
        """Return the content of the two files."""
        depth = millimetres(self._depths[number].T)
        return _encode(".jpg", framed(self._images[number].T)), _encode(".png", depth)


def framed(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return an RGB image [H, W, 3] as BGR, with a black frame."""
    out = np.zeros_like(image)
    out[_ROWS, _COLUMNS] = image[_ROWS, _COLUMNS, ::-1]
    return out


def millimetres(metres: NDArray[np.float32]) -> NDArray[np.uint16]:
    """Return depth [H, W] in millimetres, cut off, 0 where it is missing."""
    return (metres * 1000.0).astype(np.uint16)


def list_line(image: str, depth: str) -> str:
    """Return the line of a list that names a pair."""
    return f"/{image} /{depth} {FOCAL}\n"


def _open_hdf5(path: Path) -> Any:
    try:
        import h5py
    except ImportError as error:
        raise InputError(
            f"reading {path} needs h5py, which is not installed. Run "
            "`pip install 'ttr_backbones[nyu]'`, or `pip install h5py`."
        ) from error
    _check_file(path)
    try:
        return h5py.File(path, "r")
    except OSError as error:
        raise InputError(
            f"{path} ({path.stat().st_size} bytes) cannot be opened as HDF5: {error}. Expected "
            "nyu_depth_v2_labeled.mat (2.8 GB); download it again."
        ) from error


def _read_splits(path: Path, count: int) -> dict[str, list[int]]:
    import scipy.io

    _check_file(path)
    try:
        held = scipy.io.loadmat(path)
        splits = {split: held[f"{split}Ndxs"].ravel() for split in ("train", "test")}
    except Exception as error:  # scipy raises many kinds, some derived from Exception only
        raise InputError(
            f"{path} cannot be read as the official splits.mat ({error}): expected a MATLAB file "
            "with trainNdxs and testNdxs. Download it again."
        ) from error
    numbers = {split: (found.astype(np.int64) - 1).tolist() for split, found in splits.items()}
    every = numbers["train"] + numbers["test"]
    if min(every, default=0) < 0 or max(every, default=0) >= count:
        raise InputError(
            f"{path} names images {min(every) + 1} to {max(every) + 1}, the labelled file holds "
            f"{count}: expected numbers 1 to {count}. The two files do not belong together."
        )
    return numbers


def _check_file(path: Path) -> None:
    if not path.is_file():
        raise MissingFileError(
            f"{path} does not exist or is no file. Get nyu_depth_v2_labeled.mat and splits.mat: "
            "https://cs.nyu.edu/~silberman/datasets/nyu_depth_v2.html and "
            "http://horatio.cs.nyu.edu/mit/silberman/indoor_seg_sup/splits.mat."
        )


def _encode(suffix: str, pixels: NDArray[Any]) -> bytes:
    return bytes(cv2.imencode(suffix, pixels)[1])
