"""Transforms of torchvision on the image alone, resampled by Pillow."""

from __future__ import annotations

import inspect
from typing import Any

import numpy as np
import torch
from mmcv.transforms import BaseTransform
from mmseg.registry import TRANSFORMS
from PIL import Image

from ttr_backbones.errors import InputError, unknown_name


@TRANSFORMS.register_module()
class TorchvisionTransforms(BaseTransform):
    """Transforms of torchvision on `img`, as a Pillow image.

    Pillow's bicubic looks at all pixels of the original and OpenCV's at sixteen, which is what
    published classifiers of shrunken images were not trained on. All draws are from numpy's global
    generator, which `SeedSample` seeds.

    Args:
        transforms: one dict(type=NAME, ...) each, with the arguments of torchvision's class NAME;
            `interpolation` is "bicubic", "bilinear" or "nearest".
        as_original: what comes out is the image that a prediction lies on (`ori_shape`).
    """

    def __init__(self, transforms: list[dict[str, Any]], *, as_original: bool = False) -> None:
        from torchvision.transforms import Compose

        self.as_original = as_original
        self.compose = Compose([_build(transform) for transform in transforms])

    def transform(self, results: dict[str, Any]) -> dict[str, Any]:
        """Transform `img`, uint8 BGR [H, W, 3], and set `img_shape`."""
        if results["img"].dtype != np.uint8:
            raise InputError(
                f"TorchvisionTransforms expected an image of uint8, got {results['img'].dtype}: "
                "leave to_float32 out of LoadImage"
            )
        seed = int(np.random.randint(2**31))  # noqa: NPY002
        image = Image.fromarray(np.ascontiguousarray(results["img"][..., ::-1]))
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(seed)
            image = self.compose(image)
        results["img"] = np.ascontiguousarray(np.asarray(image)[..., ::-1])
        results["img_shape"] = results["img"].shape[:2]
        if self.as_original:
            results["ori_shape"] = results["img_shape"]
        return results


def _build(config: dict[str, Any]) -> Any:
    from torch import nn
    from torchvision import transforms

    known = {
        name: kind
        for name, kind in vars(transforms).items()
        if inspect.isclass(kind) and issubclass(kind, nn.Module)
    }
    arguments = dict(config)
    name = str(arguments.pop("type", None))
    if name not in known:
        raise InputError(unknown_name("torchvision transform", name, known))
    modes = {mode.value: mode for mode in transforms.InterpolationMode}
    if "interpolation" in arguments:
        mode = arguments["interpolation"]
        if mode not in modes:
            raise InputError(unknown_name("interpolation", str(mode), modes))
        arguments["interpolation"] = modes[mode]
    try:
        return known[name](**arguments)
    except (TypeError, ValueError) as error:
        raise InputError(f"torchvision's {name} with {config}: {error}") from error
