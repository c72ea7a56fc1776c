"""A config's test pipeline on images alone: ground truth is not loaded."""

from __future__ import annotations

import copy
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from mmseg.registry import TRANSFORMS
from numpy.typing import NDArray
from torch import Tensor

from ttr_backbones.app.config import type_name
from ttr_backbones.errors import InputError
from ttr_backbones.inference.sources import Source


class LoadedImage(NamedTuple):
    """An image that is ready for the model."""

    path: Path | None
    image: NDArray[np.uint8]  # RGB [H, W, 3], what the prediction lies on
    inputs: Tensor  # [3, H', W'], as the data_preprocessor takes it
    sample: Any


class ImagePipeline:
    """The transforms of a test pipeline but for `Load...` of ground truth; usable in threads.

    Args:
        transforms: configs of the transforms, beginning with one that loads the image.

    Raises:
        InputError: no such transform, or none that packs the inputs.
    """

    def __init__(self, transforms: Sequence[Mapping[str, Any]]) -> None:
        kept = [cfg for cfg in transforms if not _loads_truth(type_name(dict(cfg)))]
        names = [type_name(dict(cfg)) for cfg in kept]
        if not names or not names[0].startswith("Load") or not names[-1].startswith("Pack"):
            raise InputError(
                f"the config's test pipeline without its ground truth is {names}: expected it to "
                "begin with LoadImage and to end with PackSegInputs or PackBoxInputs"
            )
        self._transforms = [TRANSFORMS.build(cfg) for cfg in kept]
        self._of_thread = threading.local()  # mmcv's transforms keep state while they run

    def __call__(self, source: Source) -> LoadedImage:
        """Load and transform a file or an RGB array [H, W, 3].

        Raises:
            InputError: it cannot be decoded, or a transform refuses it.
        """
        if not hasattr(self._of_thread, "transforms"):
            self._of_thread.transforms = copy.deepcopy(self._transforms)
        loader, *rest = self._of_thread.transforms
        path = source if isinstance(source, Path) else None
        results: Any = {"seg_fields": [], "img_path": str(path or "")}
        if path is not None:
            results = loader(results)
        else:
            results |= _in_memory(source, as_float=getattr(loader, "to_float32", False))
        # A crop makes the image anew (`ori_shape`), a resize does not: the prediction comes back.
        seen = {results["img"].shape[:2]: results["img"]}
        for transform in rest[:-1]:
            results = transform(results)
            seen.setdefault(results["img"].shape[:2], results["img"])
        image = seen[tuple(results["ori_shape"][:2])]
        packed = rest[-1](results)
        rgb = np.ascontiguousarray(image[..., ::-1]).astype(np.uint8)
        return LoadedImage(path, rgb, packed["inputs"], packed["data_samples"])


def _loads_truth(name: str) -> bool:
    return name.startswith("Load") and "Image" not in name


def _in_memory(image: Any, *, as_float: bool) -> dict[str, Any]:
    """What `LoadImage` would have given for an RGB array: BGR, as everywhere in OpenMMLab."""
    bgr = np.ascontiguousarray(image[..., ::-1])
    shape = bgr.shape[:2]
    return {
        "img": bgr.astype(np.float32) if as_float else bgr,
        "img_shape": shape,
        "ori_shape": shape,
    }
