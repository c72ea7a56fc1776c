"""What counts as images; broken headers are tested with the `Inferencer`."""

import numpy as np
import pytest
from PIL import Image

from ttr_backbones.errors import InputError
from ttr_backbones.inference.sources import image_sources, raise_bad


def test_sources__one_list_in_order(tmp_path):
    for name in ("b.png", "a.png", "c/a.png"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        Image.new("RGB", (4, 4)).save(tmp_path / name)
    one, several = np.zeros((4, 5, 3), np.uint8), np.zeros((2, 4, 5, 3), np.uint8)
    folder = [tmp_path / name for name in ("a.png", "b.png", "c/a.png")]
    assert image_sources(tmp_path) == folder
    assert image_sources([str(folder[1]), tmp_path / "c"]) == folder[1:]
    assert [source.shape for source in image_sources([one, several])] == [(4, 5, 3)] * 3
    assert len(image_sources(several)) == 2


def test_raise_bad__names_all(tmp_path):
    raise_bad([])
    with pytest.raises(InputError, match=r"^2 images cannot be read. Repair(.|\n)*a: x\n  .*b: y$"):
        raise_bad([(tmp_path / "a", "x"), (tmp_path / "b", "y")])
