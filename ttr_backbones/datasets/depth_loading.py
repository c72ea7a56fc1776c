"""Reading depth maps, with errors that name the file and the remedy."""

from __future__ import annotations

from typing import Any

import numpy as np
from mmcv.transforms import BaseTransform
from mmseg.registry import TRANSFORMS
from numpy.typing import NDArray

from ttr_backbones.datasets.decoding import decode, pixels, read_file
from ttr_backbones.datasets.lossless import check_lossless
from ttr_backbones.datasets.orientation_check import check_upright
from ttr_backbones.errors import InputError

_NEAREST = 0.01  # of max_depth; a median below it is no scene but another unit


@TRANSFORMS.register_module()
class LoadDepth(BaseTransform):
    """Reads a uint16 PNG into `gt_depth_map`, float32 [H, W] in metres, 0 where it is missing.

    The map joins `seg_fields`, so that mmseg's own flips and crops move it with the image.

    Args:
        scale: What the file holds per metre: 1000 in NYU Depth V2, 256 in KITTI.
        max_depth: The largest distance of the data set, in metres. It is a check of the unit: the
            median of a map has to lie between a hundredth of it and itself.
        backend_args: As for mmcv's `LoadImageFromFile`.
    """

    def __init__(
        self,
        scale: float = 1000.0,
        max_depth: float = 10.0,
        backend_args: dict[str, Any] | None = None,
    ) -> None:
        if min(scale, max_depth) <= 0:
            raise InputError(
                f"LoadDepth expects a positive scale (per metre) and max_depth (metres), got "
                f"scale={scale} and max_depth={max_depth}."
            )
        self.scale, self.max_depth, self.backend_args = scale, max_depth, backend_args

    def transform(self, results: dict[str, Any]) -> dict[str, Any]:
        """Read `results["depth_map_path"]`; `LoadImage` comes first."""
        path = results["depth_map_path"]
        content = read_file(path, "depth map", self.backend_args)
        check_lossless(content, path, "depth map")
        check_upright(results, path, "depth map")
        depth = decode(content, path, "depth map", "unchanged", "cv2")
        if depth.ndim != 2 or depth.dtype != np.uint16:
            raise InputError(
                f"the depth map {path} was read as {list(depth.shape)} of {depth.dtype}: expected "
                "one channel of uint16 [H, W]. A coloured or 8-bit picture of the depth does not "
                f"hold the distances; export them as uint16, {self.scale:g} a metre."
            )
        if depth.shape != tuple(results.get("ori_shape", depth.shape)):
            raise InputError(
                f"the depth map {path} is {pixels(depth.shape)} pixels and its image "
                f"{results['img_path']} is {pixels(results['ori_shape'])} (width x height): "
                "expected the same size. Pair the right files, and load the depth before any crop; "
                "if the image is rotated by its EXIF tag, use LoadImage with "
                "color_type='color_ignore_orientation'."
            )
        self._check_unit(depth, path)
        results["gt_depth_map"] = depth.astype(np.float32) / self.scale
        results.setdefault("seg_fields", []).append("gt_depth_map")
        return results

    def _check_unit(self, depth: NDArray[np.uint16], path: str) -> None:
        valid = np.count_nonzero(depth)
        if not valid:
            raise InputError(
                f"the depth map {path} is 0 everywhere, and 0 means a missing depth. Copy or "
                "convert it again, or take the pair out of the list."
            )
        # Counting tells on which side of a bound the median lies, without sorting the map.
        highest = self.max_depth * self.scale
        near = np.count_nonzero((depth > 0) & (depth < highest * _NEAREST))
        far = np.count_nonzero(depth > highest)
        if 2 * max(near, far) > valid:
            median = float(np.median(depth[depth > 0]))
            raise InputError(
                f"the depth map {path} has a median depth of {median / self.scale:g} m (the value "
                f"{median:g} at scale={self.scale:g}): expected {self.max_depth * _NEAREST:g} to "
                f"{self.max_depth:g} m. Set LoadDepth's scale to what the file holds per metre "
                "(NYU 1000, KITTI 256), and max_depth to the data set's range."
            )
