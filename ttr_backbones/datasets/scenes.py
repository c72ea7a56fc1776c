"""Synthetic scenes: textured objects on plain backgrounds, with masks, depth and boxes.

The background is *plain*: one colour per region and almost no variance inside a patch, which is
where real Vision Transformers put their outliers. What it is (sky, wall, sand, grass) is told by
the colour alone, so a feature that is lost there costs a segmentation head its answer.

`write_scenes` writes a layout that mmseg's `BaseSegDataset` reads as it is:

    images/{train,val}/0000.png        RGB
    annotations/{train,val}/0000.png   class ids, 0..K-1
    depth/{train,val}/0000.png         uint16 millimetres
    boxes/{train,val}.json             COCO's instances format, [x, y, width, height]
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from ttr_backbones.errors import InputError

UPPER = {"sky": (150, 185, 225), "wall": (205, 185, 160)}
LOWER = {"sand": (190, 165, 115), "grass": (105, 150, 85)}
THINGS = {
    "bricks": ((175, 75, 60), (215, 200, 185)),
    "stripes": ((40, 60, 130), (225, 225, 230)),
    "dots": ((235, 200, 60), (110, 50, 120)),
    "gravel": ((60, 60, 65), (185, 180, 175)),
}
CLASSES = (*UPPER, *LOWER, *THINGS)
# The colours in which masks are drawn: Okabe and Ito's, which colour-blind readers tell apart too.
PALETTE = (
    (86, 180, 233),
    (204, 121, 167),
    (240, 228, 66),
    (0, 158, 115),
    (213, 94, 0),
    (0, 114, 178),
    (230, 159, 0),
    (0, 0, 0),
)
MIN_SIZE = 64
NEAR_MM, FAR_MM = 1000, 8000
COLOUR_JITTER = 14.0  # grey levels; std of a background's colour from scene to scene
PLAIN_NOISE = 1.0  # grey levels; std of a background's pixels


@dataclass(frozen=True)
class Scene:
    """One scene of H x W pixels.

    Args:
        image: RGB, uint8 [H, W, 3].
        mask: index into `CLASSES` of every pixel, uint8 [H, W].
        depth: distance in millimetres, uint16 [H, W], within `NEAR_MM`..`FAR_MM`.
        boxes: tight boxes of the objects, int64 [M, 4] as x1, y1, x2, y2 in pixels, ends excluded.
        labels: index into `CLASSES` of every box, int64 [M].
    """

    image: NDArray[np.uint8]
    mask: NDArray[np.uint8]
    depth: NDArray[np.uint16]
    boxes: NDArray[np.int64]
    labels: NDArray[np.int64]


def make_scene(rng: np.random.Generator, size: int = 128) -> Scene:
    """Draw one scene of `size` x `size` pixels; the same generator state gives the same scene."""
    if size < MIN_SIZE:
        raise InputError(f"a scene needs at least {MIN_SIZE} pixels a side, got size={size}")
    image, mask, depth = _background(rng, size)
    boxes: list[tuple[int, int, int, int]] = []
    labels: list[int] = []
    for _ in range(int(rng.integers(2, 5))):
        box = _free_box(rng, size, boxes)
        if box is None:
            continue
        name = list(THINGS)[rng.integers(len(THINGS))]
        x1, y1, x2, y2 = box
        inside = _shape(rng, y2 - y1, x2 - x1)
        image[y1:y2, x1:x2][inside] = _texture(rng, name, y2 - y1, x2 - x1)[inside]
        mask[y1:y2, x1:x2][inside] = CLASSES.index(name)
        # An object stands in front of all that it hides.
        depth[y1:y2, x1:x2][inside] = rng.uniform(NEAR_MM, depth[y1:y2, x1:x2].min())
        boxes.append(box)
        labels.append(CLASSES.index(name))
    return Scene(
        image=image.round().clip(0, 255).astype(np.uint8),
        mask=mask,
        depth=depth.round().astype(np.uint16),
        boxes=np.array(boxes, dtype=np.int64).reshape(-1, 4),
        labels=np.array(labels, dtype=np.int64),
    )


def write_scenes(
    root: Path, *, num_train: int, num_val: int, size: int = 128, seed: int = 0
) -> Path:
    """Write a train and a val split under `root` in the layout of this module; return `root`."""
    if min(num_train, num_val) < 1:
        raise InputError(
            f"each split needs a scene, got num_train={num_train} and num_val={num_val}"
        )
    for split, count, stream in (("train", num_train, 0), ("val", num_val, 1)):
        for kind in ("images", "annotations", "depth"):
            (root / kind / split).mkdir(parents=True, exist_ok=True)
        rng = np.random.default_rng([seed, stream])
        drawn = []
        for index in range(count):
            scene, name = make_scene(rng, size), f"{index:04d}"
            Image.fromarray(scene.image).save(root / "images" / split / f"{name}.png")
            Image.fromarray(scene.mask).save(root / "annotations" / split / f"{name}.png")
            Image.fromarray(scene.depth).save(root / "depth" / split / f"{name}.png")
            drawn.append(scene)
        (root / "boxes").mkdir(exist_ok=True)
        (root / "boxes" / f"{split}.json").write_text(json.dumps(_instances(drawn)))
    return root


def _instances(scenes: list[Scene]) -> dict[str, list[dict[str, Any]]]:
    """Return the boxes in COCO's format; ids count from 1, category ids are those of the masks."""
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    for index, scene in enumerate(scenes):
        height, width = scene.mask.shape
        file = {"id": index + 1, "file_name": f"{index:04d}.png", "width": width, "height": height}
        images.append(file)
        for label, box in zip(scene.labels.tolist(), scene.boxes.tolist(), strict=True):
            x1, y1, x2, y2 = box
            annotations.append(
                {
                    "id": len(annotations) + 1,
                    "image_id": index + 1,
                    "category_id": label,
                    "bbox": [x1, y1, x2 - x1, y2 - y1],
                    "area": (x2 - x1) * (y2 - y1),
                    "iscrowd": 0,
                }
            )
    categories = [{"id": label, "name": name} for label, name in enumerate(CLASSES)]
    return {"images": images, "annotations": annotations, "categories": categories}


def _background(
    rng: np.random.Generator, size: int
) -> tuple[NDArray[np.float64], NDArray[np.uint8], NDArray[np.float64]]:
    """Return image [S, S, 3], mask [S, S] and depth [S, S] of a plain upper and lower half."""
    horizon = int(rng.integers(round(0.35 * size), round(0.65 * size)))
    upper, lower = list(UPPER)[rng.integers(len(UPPER))], list(LOWER)[rng.integers(len(LOWER))]
    image = np.empty((size, size, 3))
    image[:horizon] = UPPER[upper] + rng.normal(0, COLOUR_JITTER, 3)
    image[horizon:] = LOWER[lower] + rng.normal(0, COLOUR_JITTER, 3)
    image += rng.normal(0, PLAIN_NOISE, image.shape)
    mask = np.full((size, size), CLASSES.index(upper), dtype=np.uint8)
    mask[horizon:] = CLASSES.index(lower)
    # Flat ground seen from a fixed height: 1 / depth grows linearly below the horizon.
    below = (np.arange(size) - horizon).clip(0) / (size - 1 - horizon)
    depth = 1 / (1 / FAR_MM + below * (1 / (2 * NEAR_MM) - 1 / FAR_MM))
    return image, mask, np.repeat(depth[:, None], size, axis=1)


def _free_box(
    rng: np.random.Generator, size: int, taken: list[tuple[int, int, int, int]]
) -> tuple[int, int, int, int] | None:
    """Return a box that overlaps none of `taken`, or None after twenty attempts."""
    for _ in range(20):
        width, height = rng.integers(size // 5, size // 2, 2)
        x1, y1 = rng.integers(0, size - width + 1), rng.integers(0, size - height + 1)
        x2, y2 = x1 + width, y1 + height
        if all(x2 <= a or c <= x1 or y2 <= b or d <= y1 for a, b, c, d in taken):
            return int(x1), int(y1), int(x2), int(y2)
    return None


def _shape(rng: np.random.Generator, height: int, width: int) -> NDArray[np.bool_]:
    """Return a rectangle or an ellipse [height, width] that touches all four sides of its box."""
    if rng.random() < 0.5:
        return np.ones((height, width), dtype=bool)
    y = (np.arange(height) + 0.5) / height * 2 - 1
    x = (np.arange(width) + 0.5) / width * 2 - 1
    # Slightly over 1, so that an even side's middle pixels reach the border of the box.
    return y[:, None] ** 2 + x[None] ** 2 <= 1.02


def _texture(rng: np.random.Generator, name: str, height: int, width: int) -> NDArray[np.float64]:
    """Return the texture [height, width, 3] of a thing: two colours mixed by a pattern."""
    first, second = (np.array(colour) + rng.normal(0, COLOUR_JITTER, 3) for colour in THINGS[name])
    y, x = np.mgrid[:height, :width] + rng.integers(0, 8, (2, 1, 1))
    match name:
        case "bricks":
            joint = (y % 6 == 0) | ((x + y // 6 % 2 * 5) % 10 == 0)
            mix = joint.astype(float)
        case "stripes":
            mix = (np.sin((x + y) * (2 * np.pi / 7)) > 0).astype(float)
        case "dots":
            mix = ((x % 7 - 3) ** 2 + (y % 7 - 3) ** 2 <= 4).astype(float)
        case _:
            mix = rng.random((height, width))
    noise = rng.normal(0, 6, (height, width, 3))
    return first + mix[..., None] * (second - first) + noise
