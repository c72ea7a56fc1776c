"""COCO-Object: the 80 things of COCO, and background, from the maps of COCO-Stuff as released."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

from mmseg.datasets import BaseSegDataset, COCOStuffDataset
from mmseg.registry import DATASETS

_NUM_THINGS = 80
# Category ids of COCO that no object has: the maps hold them less 1.
_UNUSED = (12, 26, 29, 30, 45, 66, 68, 69, 71, 83)
_THINGS = [number for number in range(1, 91) if number not in _UNUSED]
_NO_CLASS = 254  # no class has it, so that LoadSegMask names the file


def label_of_map() -> dict[int, int]:
    """Return the class of each value of a map of COCO-Stuff.

    A map holds category ids less 1 and 255 where nothing is labelled. Things become 1..80 in the
    order of their ids; stuff (91..181 in the maps) and what is not labelled become 0, background,
    as in the converter of GroupViT, SCLIP and NACLIP. Ids that no category has are no class.
    """
    labels = {number - 1: index for index, number in enumerate(_THINGS, 1)}
    labels |= {number - 1: _NO_CLASS for number in _UNUSED}
    return labels | dict.fromkeys([90, *range(91, 182), 255], 0)


@DATASETS.register_module()
class COCOObjectDataset(BaseSegDataset):
    """Images of COCO 2017 and `stuffthingmaps` of COCO-Stuff, which are mapped as they are read.

    Args:
        img_suffix: of the images.
        seg_map_suffix: of the maps as released.
        **kwargs: as for `BaseSegDataset`.
    """

    METAINFO: ClassVar[dict[str, Any]] = {
        "classes": ("background", *COCOStuffDataset.METAINFO["classes"][:_NUM_THINGS]),
        "palette": [[0, 0, 0], *COCOStuffDataset.METAINFO["palette"][:_NUM_THINGS]],
    }

    def __init__(
        self, img_suffix: str = ".jpg", seg_map_suffix: str = ".png", **kwargs: Any
    ) -> None:
        super().__init__(img_suffix=img_suffix, seg_map_suffix=seg_map_suffix, **kwargs)

    @classmethod
    def get_label_map(cls, new_classes: Sequence[str] | None = None) -> dict[int, int]:
        """The class of each value of a map, with `new_classes` of those that they name."""
        chosen = super().get_label_map(new_classes) or {}
        return {value: chosen.get(label, label) for value, label in label_of_map().items()}
