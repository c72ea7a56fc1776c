"""A plain folder of images."""

from __future__ import annotations

from typing import Any

from mmengine.dataset import BaseDataset
from mmseg.registry import DATASETS

from ttr_backbones.images.photos import photo_files


@DATASETS.register_module()
class ImageFolder(BaseDataset):
    """The images of a folder and of the folders in it, in order of name, without ground truth.

    A data info holds `img_path`. The pipeline needs no `LoadBoxes`.

    Args:
        data_root: the folder.
        **kwargs: as for mmengine's `BaseDataset`.

    Raises:
        MissingFileError: no such folder.
        InputError: it holds no image.
    """

    def __init__(self, data_root: str, **kwargs: Any) -> None:
        super().__init__(data_root=data_root, **kwargs)

    def load_data_list(self) -> list[dict[str, Any]]:
        """List the images."""
        return [{"img_path": str(path)} for path in photo_files(self.data_root)]
