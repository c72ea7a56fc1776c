"""Files of a data set's folders that are in none of its samples."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from ttr_backbones.folder_files import files_below
from ttr_backbones.images.photos import SUFFIXES

_SHOWN = 5


def left_out(dataset: Any) -> list[str]:
    """Return for each folder how many of its image files the data set passes over, and which.

    A data set with a list (`ann_file`) leaves out by intent, and so does one with indices.

    Args:
        dataset: A built mmengine `BaseDataset` that lists its folders.
    """
    prefixes = dataset.data_prefix if isinstance(dataset.data_prefix, dict) else {}
    folders = {key: path for key, path in prefixes.items() if path and Path(path).is_dir()}
    if dataset.ann_file or getattr(dataset, "_indices", None) is not None or not folders:
        return []
    infos = [dataset.get_data_info(index) for index in range(len(dataset))]
    used = {
        os.path.normpath(str(value))
        for info in infos
        for key, value in info.items()
        if key.endswith("_path") and value
    }
    problems = []
    for key, folder in folders.items():
        files = [file for file in files_below(folder) if file.suffix.lower() in SUFFIXES]
        names = [file for file in files if os.path.normpath(file) not in used]
        if names:
            shown = ", ".join(str(file.relative_to(folder)) for file in names[:_SHOWN])
            suffix = getattr(dataset, _SUFFIX_OF.get(key, ""), None)
            problems.append(
                f"{len(names)} of {len(files)} files in {folder} ({key}) are in no sample: {shown}"
                f"{', ...' if len(names) > _SHOWN else ''}."
                + (f" Expected names that end in {suffix!r}," if suffix else " Expected files")
                + " with a partner of the same name in the other folders. Rename or remove them, "
                "or correct the suffix in the config."
            )
    return problems


_SUFFIX_OF = {
    "img_path": "img_suffix",
    "seg_map_path": "seg_map_suffix",
    "depth_map_path": "depth_map_suffix",
}
