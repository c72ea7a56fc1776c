"""ImageNet-Segmentation: 4,276 images of ImageNet with masks of their foreground, in one file."""

from __future__ import annotations

import functools
import os
from pathlib import Path
from typing import Any

import numpy as np
import torch
from mmcv.transforms import BaseTransform
from mmengine.dataset import BaseDataset
from mmengine.structures import BaseDataElement
from mmseg.registry import DATASETS, TRANSFORMS
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from ttr_backbones.datasets.loading import LoadImage
from ttr_backbones.errors import InputError, MissingFileError

_GET = "http://calvin-vision.net/bigstuff/proj-imagenet/data/gtsegs_ijcv.mat"
_EXPECTED = (
    f"expected gtsegs_ijcv.mat ({_GET}), an HDF5 file whose value/img and value/gt hold a "
    "reference for every image"
)
_METAINFO = ("img_path", "ori_shape", "img_shape")


@DATASETS.register_module()
class ImageNetSegmentation(BaseDataset):
    """The images and masks of gtsegs_ijcv.mat (Guillaumin et al., IJCV 2014).

    A data info holds `mat_path`, `index` and an `img_path` that names both. Reading needs h5py.

    Args:
        data_root: folder of the file.
        ann_file: the file.
        **kwargs: as for mmengine's `BaseDataset`.

    Raises:
        MissingFileError: no such file.
        InputError: another kind of file, or h5py is not installed.
    """

    def __init__(
        self, data_root: str = "", ann_file: str = "gtsegs_ijcv.mat", **kwargs: Any
    ) -> None:
        super().__init__(ann_file=ann_file, data_root=data_root, **kwargs)

    def load_data_list(self) -> list[dict[str, Any]]:
        """Count the images."""
        path = str(self.ann_file)
        if not Path(path).is_file():
            raise MissingFileError(f"{path} does not exist or is no file: {_EXPECTED}")
        images, masks = _references(path)
        if images.shape != masks.shape or images.ndim != 2 or images.shape[1] != 1:
            raise InputError(
                f"{path}: value/img is {list(images.shape)} and value/gt {list(masks.shape)}, "
                f"expected both as [images, 1]: {_EXPECTED}"
            )
        return [
            {"img_path": f"{path}/{index:04d}", "mat_path": path, "index": index}
            for index in range(len(images))
        ]


@TRANSFORMS.register_module()
class LoadMatImage(LoadImage):
    """`LoadImage`, for the images of `ImageNetSegmentation` and for files."""

    def transform(self, results: dict[str, Any]) -> dict[str, Any]:
        """Read `img`, BGR uint8 [H, W, 3], `img_shape` and `ori_shape`."""
        if "mat_path" not in results:
            return super().transform(results)
        path, index = results["mat_path"], results["index"]
        image = _array(path, index, _open(path)[_references(path)[0][index, 0]])
        if image.ndim != 3 or len(image) != 3 or image.dtype != np.uint8:
            raise InputError(
                f"image {index} of {path} is {image.dtype} {list(image.shape)}, expected uint8 "
                "[3, W, H] (MATLAB's order of axes): copy the file again"
            )
        results["img"] = np.ascontiguousarray(image.transpose(2, 1, 0)[..., ::-1])
        results["img_shape"] = results["ori_shape"] = results["img"].shape[:2]
        return results


@TRANSFORMS.register_module()
class LoadForeground(BaseTransform):
    """Reads the mask of an image of `ImageNetSegmentation` into `gt_mask`, uint8 0 and 1 [H, W]."""

    def transform(self, results: dict[str, Any]) -> dict[str, Any]:
        """Read and check; `LoadMatImage` comes first."""
        path, index = results["mat_path"], results["index"]
        file = _open(path)
        cell = _array(path, index, file[_references(path)[1][index, 0]])
        mask = _array(path, index, file[cell.flat[0]]) if cell.dtype == object else cell
        if mask.ndim != 2 or mask.T.shape != results["ori_shape"] or set(np.unique(mask)) - {0, 1}:
            raise InputError(
                f"the mask of image {index} of {path} is {list(mask.shape)} with the values "
                f"{np.unique(mask)[:5].tolist()}, expected {list(results['ori_shape'][::-1])} "
                "(MATLAB's order of axes) with 0 and 1: copy the file again"
            )
        results["gt_mask"] = np.ascontiguousarray(mask.T).astype(np.uint8)
        return results


@TRANSFORMS.register_module()
class ForegroundMask(BaseTransform):
    """Brings `gt_mask` to the size that the model sees, nearest pixel.

    The published evaluation crops the middle of an image and squeezes its whole mask to the same
    square, so that they do not lie on each other unless the image is square. Its numbers are of
    that; `crop=True` treats the mask as the image.

    Args:
        size: side of the square.
        crop: resize the short side and crop the middle, as the image, in place of squeezing.
    """

    def __init__(self, size: int = 224, *, crop: bool = False) -> None:
        self.size, self.crop = size, crop

    def transform(self, results: dict[str, Any]) -> dict[str, Any]:
        """Resize `gt_mask` [H, W], where there is one."""
        if "gt_mask" not in results:
            return results
        from torchvision.transforms import InterpolationMode
        from torchvision.transforms.functional import center_crop, resize

        mask, nearest = Image.fromarray(results["gt_mask"]), InterpolationMode.NEAREST
        if self.crop:
            mask = center_crop(resize(mask, self.size, nearest), [self.size, self.size])
        else:
            mask = resize(mask, [self.size, self.size], nearest)
        results["gt_mask"] = np.array(mask)
        return results


class ForegroundSample(BaseDataElement):
    """One image of foreground segmentation.

    Metainfo: `img_path`; `ori_shape` and `img_shape` as (H, W).

    From the data set:
        gt_mask: bool [H, W] as the model sees the image; absent where there is no ground truth.

    From the model:
        pred_mask: bool [H, W].
        pred_scores: of background and foreground, [2, H, W].
    """

    gt_mask: Tensor
    pred_mask: Tensor
    pred_scores: Tensor


@TRANSFORMS.register_module()
class PackForegroundInputs(BaseTransform):
    """Packs `img` as `inputs`, uint8 [3, H, W] in BGR, and the rest as a `ForegroundSample`."""

    def transform(self, results: dict[str, Any]) -> dict[str, Any]:
        """Pack the image, its mask if it has one, its path and its sizes."""
        sample = ForegroundSample(metainfo={k: results[k] for k in _METAINFO if k in results})
        if "gt_mask" in results:
            sample.gt_mask = torch.from_numpy(results["gt_mask"]).bool()
        image = np.ascontiguousarray(results["img"].transpose(2, 0, 1))
        return {"inputs": torch.from_numpy(image), "data_samples": sample}


def _open(path: str) -> Any:
    return _opened(path, os.getpid())  # HDF5 does not survive a fork


@functools.lru_cache(maxsize=2)
def _opened(path: str, process: int) -> Any:
    del process
    try:
        import h5py
    except ImportError:
        raise InputError(
            f"reading {path} needs h5py, which is not installed. Run `pip install h5py`."
        ) from None
    try:
        return h5py.File(path, "r")
    except OSError as error:
        raise InputError(f"{path} is no HDF5 file ({error}): {_EXPECTED}") from error


def _references(path: str) -> tuple[Any, Any]:
    """Return the references to images and to masks, [images, 1] each."""
    file = _open(path)
    try:
        return file["value/img"], file["value/gt"]
    except KeyError as error:
        raise InputError(f"{path} holds {', '.join(file)}: {_EXPECTED}") from error


def _array(path: str, index: int, dataset: Any) -> NDArray[Any]:
    try:
        return np.asarray(dataset[()])
    except OSError as error:
        raise InputError(f"image {index} of {path} is damaged ({error}): copy it again") from error
