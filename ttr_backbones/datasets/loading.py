"""Reading images and class masks, with errors that name the file and the remedy."""

from __future__ import annotations

from typing import Any

import numpy as np
from mmcv.transforms import LoadImageFromFile
from mmseg.datasets.transforms import LoadAnnotations
from mmseg.registry import TRANSFORMS

from ttr_backbones.datasets.bit_depth import check_bits
from ttr_backbones.datasets.decoding import decode, pixels, read_file
from ttr_backbones.datasets.exif import UPRIGHT, orientation
from ttr_backbones.datasets.lossless import check_lossless
from ttr_backbones.datasets.orientation_check import check_upright
from ttr_backbones.errors import InputError

_IGNORED = 255


@TRANSFORMS.register_module()
class LoadImage(LoadImageFromFile):
    """mmcv's LoadImageFromFile with clear errors.

    A grey image becomes three equal channels; an alpha channel is dropped. The image is
    [H, W, 3], BGR, as everywhere in OpenMMLab. Arguments are those of `LoadImageFromFile`.
    """

    def transform(self, results: dict[str, Any]) -> dict[str, Any]:
        """Read `results["img_path"]` into `img`, `img_shape` and `ori_shape`."""
        path = results["img_path"]
        content = read_file(path, "image", self.backend_args)
        image = decode(content, path, "image", self.color_type, self.imdecode_backend)
        check_bits(content, path)
        if image.ndim != 3 or image.shape[2] != 3:
            raise InputError(
                f"the image {path} was read as {list(image.shape)}, expected [H, W, 3]. Set "
                f"color_type='color' for LoadImage (it is {self.color_type!r})."
            )
        results["img"] = image.astype(np.float32) if self.to_float32 else image
        results["img_shape"] = results["ori_shape"] = image.shape[:2]
        # What is drawn on the image may have been drawn before or after it was turned.
        if self._turns(content) and (turned := orientation(content)) != UPRIGHT:
            results["exif_orientation"] = turned
        return results

    def _turns(self, content: bytes) -> bool:
        """Return whether the decoder applies the orientation."""
        if self.imdecode_backend == "cv2":
            # OpenCV leaves the turning of TIFF to a library that always does it.
            return self.color_type in {"color", "grayscale"} or content[:2] in {b"II", b"MM"}
        return self.imdecode_backend == "pillow" and self.color_type in {"color", "grayscale"}


@TRANSFORMS.register_module()
class LoadSegMask(LoadAnnotations):
    """mmseg's LoadAnnotations with clear errors.

    Args:
        num_classes: The number of classes; a mask with a label that is neither below it nor 255
            (ignored) is an error. None leaves labels unchecked.
        reduce_zero_label: As the data set's, which decides; None leaves it to the data set.
        **kwargs: As for `LoadAnnotations`.
    """

    def __init__(
        self,
        num_classes: int | None = None,
        reduce_zero_label: bool | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.num_classes = num_classes
        self.reduce_zero_label = reduce_zero_label

    def _load_seg_map(self, results: dict[str, Any]) -> None:
        path = results["seg_map_path"]
        content = read_file(path, "mask", self.backend_args)
        check_lossless(content, path, "mask")
        check_upright(results, path, "mask")
        mask = decode(content, path, "mask", "unchanged", self.imdecode_backend)
        mask = _as_class_numbers(mask, path)
        # The image may have been resized already: masks are scored at their own size.
        if mask.shape != tuple(results.get("ori_shape", mask.shape)):
            raise InputError(
                f"the mask {path} is {pixels(mask.shape)} pixels and its image "
                f"{results['img_path']} is {pixels(results['ori_shape'])} (width x height): "
                "expected the same size. Pair the right files; if the image is rotated by its "
                "EXIF tag, use LoadImage with color_type='color_ignore_orientation'."
            )
        reduce_zero = results["reduce_zero_label"]
        if self.reduce_zero_label not in {None, reduce_zero}:
            raise InputError(
                f"LoadSegMask has reduce_zero_label={self.reduce_zero_label} and the data set "
                f"{reduce_zero}: expected the same. Set it in the data set only."
            )
        labels = _final_labels(reduce_zero, results.get("label_map"))[mask]
        self._check_range(mask, labels, path, reduce_zero=reduce_zero)
        results["gt_seg_map"] = labels
        results["seg_fields"].append("gt_seg_map")

    def _check_range(
        self, mask: np.ndarray, labels: np.ndarray, path: str, *, reduce_zero: bool
    ) -> None:
        if self.num_classes is None:
            return
        outside = (labels >= self.num_classes) & (labels != _IGNORED)
        if not outside.any():
            return
        found = np.unique(mask[outside])[:5].tolist()
        first, last = (1, self.num_classes) if reduce_zero else (0, self.num_classes - 1)
        ignored = "0 and 255" if reduce_zero else "255"
        raise InputError(
            f"the mask {path} holds the label(s) {found}: expected {first}..{last}, and {ignored} "
            f"for pixels to ignore (num_classes={self.num_classes}, reduce_zero_label="
            f"{reduce_zero}). Convert the masks, or correct num_classes in the config."
        )


def _as_class_numbers(mask: np.ndarray, path: str) -> np.ndarray:
    """Return `mask` as uint8 [H, W], or say why it holds no class numbers."""
    if mask.ndim == 3 and mask.shape[2] == 1:
        mask = mask[:, :, 0]
    if mask.ndim != 2 or not (np.issubdtype(mask.dtype, np.integer) or mask.dtype == bool):
        raise InputError(
            f"the mask {path} was read as {list(mask.shape)} of {mask.dtype}: expected one channel "
            "of integer class numbers [H, W] (a palette PNG is fine). A colour-coded mask has to "
            "be converted to class numbers first."
        )
    if mask.dtype != np.uint8:
        if mask.min() < 0 or mask.max() > _IGNORED:
            raise InputError(
                f"the mask {path} holds values {mask.min()}..{mask.max()} of {mask.dtype}: "
                "expected class numbers 0..255. Convert the mask; an instance or depth map is none."
            )
        mask = mask.astype(np.uint8)
    return mask


def _final_labels(reduce_zero: bool, label_map: dict[int, int] | None) -> np.ndarray:
    """Return for each of the 256 values of a mask the label that training sees."""
    labels = np.arange(256)
    if reduce_zero:
        labels = np.where((labels == 0) | (labels == _IGNORED), _IGNORED, labels - 1)
    if label_map:
        labels = np.array([label_map.get(int(label), int(label)) for label in labels])
    return labels.astype(np.uint8)
