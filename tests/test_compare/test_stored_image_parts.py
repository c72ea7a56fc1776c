"""What is stored of single images is read as what it is, or not at all."""

import numpy as np
import pytest

from ttr_backbones.compare.stored_image_parts import FILE, StoredImageParts, read_parts, write_parts
from ttr_backbones.errors import InputError
from ttr_backbones.tasks import task_named


def test_parts_of_another_version__are_not_read(tmp_path):
    task, parts = task_named("segmentation"), np.ones((2, 6))
    write_parts(tmp_path, StoredImageParts(["a", "b"], parts, task.image_parts.layout))
    assert read_parts(tmp_path, task).names == ["a", "b"]
    with pytest.raises(
        InputError, match=r"expected for CorLoc \(value, 1\) of every image, it has"
    ):
        read_parts(tmp_path, task_named("object discovery"))
    np.savez_compressed(tmp_path / FILE, names=np.array(["a", "b"]), parts=parts)
    with pytest.raises(InputError, match=r"another version: .*delete the folder .* run the cell"):
        read_parts(tmp_path, task)
