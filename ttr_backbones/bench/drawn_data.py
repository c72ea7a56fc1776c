"""Images to load where no data set is given: drawn, in ADE20K's layout and with its sizes."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

_SIZE = (512, 683)  # pixels, height and width; ADE20K's short side is 512 at least
_OCTAVES = (4, 16, 64, 256)  # cells along the height
_QUALITY = 90  # a JPEG then takes about as many bytes as one of ADE20K, and as long to decode
_CLASSES = 150


def draw_ade20k(root: Path, count: int = 24, seed: int = 0) -> Path:
    """Write `count` training images and their masks under `root`; return it."""
    rng = np.random.default_rng(seed)
    for kind in ("images", "annotations"):
        (root / kind / "training").mkdir(parents=True, exist_ok=True)
    for index in range(count):
        image = sum(_noise(rng, cells) / octave for octave, cells in enumerate(_OCTAVES, start=1))
        pixels = (128 + 60 * np.asarray(image)).clip(0, 255).astype(np.uint8)
        options = [cv2.IMWRITE_JPEG_QUALITY, _QUALITY]
        cv2.imwrite(str(root / "images" / "training" / f"{index:04d}.jpg"), pixels, options)
        labels = rng.integers(0, _CLASSES + 1, (8, 11), dtype=np.uint8)  # 0 is ignored
        mask = cv2.resize(labels, _SIZE[::-1], interpolation=cv2.INTER_NEAREST)
        cv2.imwrite(str(root / "annotations" / "training" / f"{index:04d}.png"), mask)
    return root


def _noise(rng: np.random.Generator, cells: int) -> NDArray[np.float32]:
    """Smooth noise [H, W, 3] with so many cells along the height."""
    height, width = _SIZE
    small = rng.standard_normal((cells, cells * width // height, 3)).astype(np.float32)
    large: NDArray[np.float32] = cv2.resize(small, (width, height), interpolation=cv2.INTER_CUBIC)
    return large
