"""Training transforms of images with depth, as in BTS and the DINOv2 depth configs.

All of them draw from numpy's global generator, which `SeedSample` seeds.
"""

from __future__ import annotations

import inspect
import random
from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np
from mmcv.transforms import BaseTransform
from mmseg.registry import TRANSFORMS

from ttr_backbones.datasets.decoding import pixels
from ttr_backbones.errors import InputError, unknown_name


@TRANSFORMS.register_module()
class Albumentations(BaseTransform):
    """Transforms of albumentations on the image and, jointly, on `gt_depth_map` if it is there.

    Depth is never blended: pixels are taken (nearest), and what comes in from outside is 0. The
    published pipeline is Crop(43, 45, 608, 472), Rotate(limit=2.5, p=0.5), HorizontalFlip(p=0.5)
    and RandomCrop(416, 544).

    Args:
        transforms: One dict(type=NAME, ...) each, with the arguments of albumentations' class
            NAME; OneOf and the like hold `transforms` of their own.
    """

    def __init__(self, transforms: list[dict[str, Any]]) -> None:
        import albumentations

        self.compose = albumentations.Compose([_build(transform) for transform in transforms])

    def transform(self, results: dict[str, Any]) -> dict[str, Any]:
        """Transform `img` and `gt_depth_map`, and set `img_shape`."""
        left_behind = set(results.get("seg_fields", [])) - {"gt_depth_map"}
        if left_behind:
            raise InputError(
                "Albumentations moves img and gt_depth_map, and would leave "
                f"{', '.join(sorted(left_behind))} behind. Use mmseg's transforms for masks."
            )
        # albumentations keeps generators of its own, which no global seed reaches. Its own
        # set_random_seed would start each transform at the same number: flips and rotations
        # would then always come together.
        seed = int(np.random.randint(2**31))  # noqa: NPY002
        self.compose.set_random_state(np.random.default_rng(seed), random.Random(seed))
        inputs = {"image": cv2.cvtColor(results["img"], cv2.COLOR_BGR2RGB)}
        if "gt_depth_map" in results:
            inputs["mask"] = results["gt_depth_map"]
        try:
            out = self.compose(**inputs)
        except Exception as error:  # its CropSizeError derives from Exception only
            raise InputError(
                f"albumentations cannot transform the image {results.get('img_path')} of "
                f"{pixels(results['img'].shape)} pixels (width x height): {error}"
            ) from error
        results["img"] = cv2.cvtColor(out["image"], cv2.COLOR_RGB2BGR)
        if "mask" in out:
            results["gt_depth_map"] = out["mask"]
        results["img_shape"] = results["img"].shape[:2]
        return results


def _build(config: dict[str, Any]) -> Any:
    """Return the albumentations transform that `config` describes."""
    import albumentations

    known = {
        name: value
        for name, value in vars(albumentations).items()
        if inspect.isclass(value)
        and issubclass(value, albumentations.BasicTransform | albumentations.BaseCompose)
    }
    arguments = dict(config)
    name = arguments.pop("type", None)
    if name not in known:
        raise InputError(unknown_name("albumentations transform", str(name), known))
    parameters = inspect.signature(known[name]).parameters
    for argument in arguments:
        if argument not in parameters:  # albumentations itself only warns
            kind = f"argument of albumentations' {name}"
            raise InputError(unknown_name(kind, argument, parameters))
    blended = arguments.get("mask_interpolation", cv2.INTER_NEAREST) != cv2.INTER_NEAREST
    if blended or arguments.get("fill_mask"):
        raise InputError(
            f"albumentations' {name}: depth is taken with mask_interpolation=0 (nearest) and "
            "fill_mask=0 (missing). Leave both out: anything else makes up distances."
        )
    if "transforms" in arguments:
        arguments["transforms"] = [_build(inner) for inner in arguments["transforms"]]
    try:
        return known[name](**arguments)
    except (TypeError, ValueError) as error:  # pydantic's ValidationError is a ValueError
        raise InputError(f"albumentations' {name} with {arguments}: {error}") from error


@TRANSFORMS.register_module()
class ColorAug(BaseTransform):
    """Gamma, brightness and a factor for each channel, as in BTS.

    Pixels 0..255 are raised to gamma, multiplied by brightness and by their channel's factor, and
    clipped to 0..255, in this order. Gamma thus acts on 0..255, not on 0..1, and darkens or
    brightens strongly: 0.9 turns 128 into 79, as published. The result is float32, as published
    too; an image that is left alone keeps its type.

    Args:
        prob: How many of the images are changed.
        gamma: Range of the exponent, uniform.
        brightness: Range of the common factor, uniform; 0.75 to 1.25 for NYU, 0.9 to 1.1 for KITTI.
        color: Range of each channel's factor, uniform.
    """

    def __init__(
        self,
        prob: float = 0.5,
        gamma: Sequence[float] = (0.9, 1.1),
        brightness: Sequence[float] = (0.75, 1.25),
        color: Sequence[float] = (0.9, 1.1),
    ) -> None:
        if not 0 <= prob <= 1:
            raise InputError(f"ColorAug expects prob between 0 and 1, got {prob}.")
        ranges = {"gamma": gamma, "brightness": brightness, "color": color}
        for name, limits in ranges.items():
            if len(limits) != 2 or not 0 < limits[0] <= limits[1]:
                raise InputError(
                    f"ColorAug expects {name} as (lowest, highest), both positive, got {limits}."
                )
        self.prob, self.gamma, self.brightness, self.color = prob, gamma, brightness, color

    def transform(self, results: dict[str, Any]) -> dict[str, Any]:
        """Change `img` or leave it alone."""
        if np.random.rand() >= self.prob:  # noqa: NPY002
            return results
        changed = results["img"] ** _uniform(self.gamma)
        changed = changed * _uniform(self.brightness)
        changed = changed * _uniform(self.color, 3)
        results["img"] = changed.clip(0, 255).astype(np.float32)
        return results


def _uniform(bounds: Sequence[float], size: int | None = None) -> Any:
    low, high = bounds
    return np.random.uniform(low, high, size)  # noqa: NPY002


@TRANSFORMS.register_module()
class KBCrop(BaseTransform):
    """KITTI's crop: the bottom rows, centred from left to right, of image and depth.

    From here on this is the image: predictions have its size, and the metric's crop refers to it.

    Args:
        height: Rows that are kept.
        width: Columns that are kept.
    """

    def __init__(self, height: int = 352, width: int = 1216) -> None:
        self.height, self.width = height, width

    def transform(self, results: dict[str, Any]) -> dict[str, Any]:
        """Crop `img` and every one of `seg_fields`, and set `img_shape` and `ori_shape`."""
        height, width = results["img"].shape[:2]
        top, left = height - self.height, (width - self.width) // 2
        if min(top, left) < 0:
            raise InputError(
                f"KBCrop keeps {self.width}x{self.height} pixels (width x height), the image "
                f"{results.get('img_path')} has only {pixels((height, width))}. Use KITTI's own "
                "images, or a smaller height and width."
            )
        for key in ("img", *results.get("seg_fields", [])):
            results[key] = results[key][top:, left : left + self.width]
        results["img_shape"] = results["ori_shape"] = (self.height, self.width)
        return results
