"""`ModelCrop`: the central square that a pretrained model sees of an image, with boxes in it."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import numpy as np
from mmcv.transforms import BaseTransform
from mmseg.registry import TRANSFORMS
from numpy.typing import NDArray
from PIL import Image

from ttr_backbones.errors import InputError
from ttr_backbones.vits.hf_files import PREFIX, is_hf_name
from ttr_backbones.vits.hf_preprocessing import image_preprocessing

Fit = Literal["crop", "squash"]


@TRANSFORMS.register_module()
class ModelCrop(BaseTransform):
    """Resize as CLIP's own preprocessing does, and cut out the centre.

    Bicubic by Pillow, which looks at all pixels of the original. `text_boxes` [n, 4], if there are
    any, go along; what lies outside of the crop is cut off, and boxes that lie outside are dropped.

    Args:
        model: timm name or `hf:FOLDER`, for the size that its weights were trained at.
        size: (H, W) or side of the square, in place of the model's.
        resize: short side before the crop; None takes the crop's, as OpenAI and open_clip do.
        fit: "squash" resizes both sides to `size`, whatever the proportions, as SigLIP does.

    Raises:
        InputError: the size of the model is not known, or options that do not fit each other.
    """

    def __init__(
        self,
        model: str | None = None,
        size: int | tuple[int, int] | None = None,
        resize: int | None = None,
        fit: Fit = "crop",
    ) -> None:
        found = size if size is not None else input_size(model)
        height, width = (found, found) if isinstance(found, int) else found
        if fit not in ("crop", "squash") or (fit == "squash" and resize is not None):
            raise InputError(f"fit={fit!r}, resize={resize}: expected fit='crop' or 'squash' alone")
        if resize is not None and resize < max(height, width):
            raise InputError(f"resize={resize} is less than the crop, {height} x {width}")
        self.size, self.resize, self.fit = (int(height), int(width)), resize, fit

    def transform(self, results: dict[str, Any]) -> dict[str, Any]:
        """Change `img`, uint8 BGR [H, W, 3], and `text_boxes`, and set `img_shape`."""
        from torchvision.transforms import InterpolationMode
        from torchvision.transforms.functional import center_crop, resize

        height, width = results["img"].shape[:2]
        image = Image.fromarray(np.ascontiguousarray(results["img"][..., ::-1]))
        target = list(self.size) if self.fit == "squash" else [self.resize or max(self.size)]
        image = resize(image, target, InterpolationMode.BICUBIC)
        scale = (image.width / width, image.height / height)
        # Where torchvision's crop of the centre begins; it pads what is smaller.
        left, top = (round((a - b) / 2) for a, b in zip(image.size, self.size[::-1], strict=True))
        image = center_crop(image, list(self.size))
        results["img"] = np.ascontiguousarray(np.asarray(image)[..., ::-1])
        results["img_shape"] = self.size
        if "text_boxes" in results:
            results["text_boxes"] = self._boxes(results["text_boxes"], scale, (left, top))
        return results

    def _boxes(
        self, boxes: NDArray[np.float32], scale: tuple[float, float], corner: tuple[int, int]
    ) -> NDArray[np.float32]:
        factor, shift, most = (
            np.asarray((*pair, *pair), np.float32) for pair in (scale, corner, self.size[::-1])
        )
        moved = (boxes * factor - shift).clip(0, most)
        there = (moved[:, 2] > moved[:, 0]) & (moved[:, 3] > moved[:, 1])
        cut: NDArray[np.float32] = moved[there]
        return cut


def input_size(model: str | None) -> tuple[int, int]:
    """Return the (H, W) that the weights of a model were trained at.

    Args:
        model: timm name or `hf:FOLDER`.

    Raises:
        InputError: it is not known.
    """
    from timm.models import get_pretrained_cfg, is_model

    name = model or ""
    if is_model(name.partition(".")[0]):
        cfg = get_pretrained_cfg(name, allow_unregistered=True)
        if cfg is not None and cfg.input_size is not None:
            return cfg.input_size[1], cfg.input_size[2]
    if is_hf_name(name):
        found = image_preprocessing(Path(name.removeprefix(PREFIX)).expanduser(), name)
        if found is not None and found.size is not None:
            return found.size
    raise InputError(
        f"the size of the images of {model!r} is not known here: give it to ModelCrop as `size` "
        "(--cfg-options test_dataloader.dataset.pipeline.1.size=224)"
    )
