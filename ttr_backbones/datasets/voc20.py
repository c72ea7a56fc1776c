"""Pascal VOC 2012 without its background, as open-vocabulary segmentation calls VOC20."""

from __future__ import annotations

from typing import Any, ClassVar

from mmseg.datasets import PascalVOCDataset
from mmseg.registry import DATASETS


@DATASETS.register_module()
class PascalVOC20Dataset(PascalVOCDataset):
    """mmseg's PascalVOCDataset with the 20 objects as classes; the background does not count."""

    METAINFO: ClassVar[dict[str, Any]] = {
        name: values[1:] for name, values in PascalVOCDataset.METAINFO.items()
    }

    def __init__(self, ann_file: str, reduce_zero_label: bool = True, **kwargs: Any) -> None:
        super().__init__(ann_file=ann_file, reduce_zero_label=reduce_zero_label, **kwargs)
