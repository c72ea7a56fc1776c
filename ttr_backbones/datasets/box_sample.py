"""`BoxSample`: one image of object discovery, with its true boxes and the box that was found."""

from __future__ import annotations

from mmengine.structures import BaseDataElement
from torch import Tensor


class BoxSample(BaseDataElement):
    """What a pipeline packs for an image, and what a model adds to it.

    Boxes are x1, y1, x2, y2 in pixels of the image as it lies on disk (`ori_shape`), the right and
    bottom ends excluded, whatever size the model saw.

    Metainfo: `img_path`; `ori_shape` and `img_shape` as (H, W), on disk and as the model sees it;
    `scale_factor` (width, height) if the image was resized.

    From the data set:
        gt_boxes: true boxes, float32 [M, 4]; absent where there is no ground truth.

    From the model:
        pred_box: the box that was found, [4].
        seed: index of the seed patch in the flattened grid.
        degrees: the method's score of every patch, [h, w], lowest at the seed.
        patch_size: (height, width) of a patch in pixels of what the model saw.
        collapsed: True if the seed means nothing, because the method could not choose.
    """

    gt_boxes: Tensor
    pred_box: Tensor
    seed: int
    degrees: Tensor
    patch_size: tuple[int, int]
    collapsed: bool
