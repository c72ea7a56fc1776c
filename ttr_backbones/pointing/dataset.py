"""Images of COCO, each with a question about every category that it shows."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from mmcv.transforms import BaseTransform
from mmengine.dataset import BaseDataset
from mmengine.structures import BaseDataElement
from mmseg.registry import DATASETS, TRANSFORMS

from ttr_backbones.datasets.annotations_error import AnnotationsError
from ttr_backbones.datasets.coco_instances import Instances
from ttr_backbones.errors import InputError
from ttr_backbones.vlm.category import CATEGORY, category_prompts

_METAINFO = ("img_path", "ori_shape", "prompt", "noun")


@DATASETS.register_module()
class COCOPointing(BaseDataset):
    """One entry per image and category, with the boxes of that category that are no crowds.

    A data info holds `img_path`, `prompt`, `noun`, `boxes` (x1, y1, x2, y2 each, rounded to whole
    pixels) and `size` (width, height).

    Args:
        prompt: the question, with `{category}` where the name of the category goes.
        data_root: folder of COCO.
        ann_file: the instances_*.json.
        data_prefix: folder of the images.
        **kwargs: as for mmengine's `BaseDataset`.

    Raises:
        MissingFileError: the annotations do not exist.
        InputError: no COCO instances with names of categories, entries that are wrong, or a prompt
            without `{category}`.
    """

    def __init__(
        self,
        prompt: str = "Where is the {category}?",
        data_root: str = "",
        ann_file: str = "annotations/instances_val2017.json",
        data_prefix: Mapping[str, str] | None = None,
        **kwargs: Any,
    ) -> None:
        if CATEGORY not in prompt:
            raise InputError(f"prompt={prompt!r}: expected {CATEGORY} where the name goes")
        self.prompt = prompt
        folders = {"img_path": "val2017", **(data_prefix or {})}
        super().__init__(ann_file=ann_file, data_root=data_root, data_prefix=folders, **kwargs)

    def load_data_list(self) -> list[dict[str, Any]]:
        """Read the annotation file."""
        instances = Instances(self.ann_file)
        folder = Path(self.data_prefix["img_path"])
        infos = [
            {
                "img_path": str(folder / image["file_name"]),
                "prompt": prompt,
                "noun": noun,
                "boxes": boxes,
                "size": (image["width"], image["height"]),
            }
            for image in instances.images
            for noun, prompt, boxes in category_prompts(
                self.prompt, instances.named_boxes.get(image["id"], {})
            )
        ]
        if instances.problems:
            raise AnnotationsError(self.ann_file, instances.problems, infos)
        if not infos:
            raise InputError(
                f"{self.ann_file}: no object has a named category; expected a COCO instances file "
                "with `categories`"
            )
        return infos


@TRANSFORMS.register_module()
class PackPointing(BaseTransform):
    """Packs `img` as `inputs`, uint8 [3, H, W] in BGR; question and boxes as the data sample."""

    def transform(self, results: dict[str, Any]) -> dict[str, Any]:
        """Pack; `LoadImage` and `LoadBoxes` come first."""
        sample = BaseDataElement(metainfo={k: results[k] for k in _METAINFO if k in results})
        if "gt_boxes" in results:
            sample.set_data({"gt_boxes": torch.from_numpy(results["gt_boxes"])})
        image = np.ascontiguousarray(results["img"].transpose(2, 0, 1))
        return {"inputs": torch.from_numpy(image), "data_samples": sample}
