import numpy as np
import pytest
from PIL import Image

from ttr_backbones.datasets import LoadBoxes, LoadDepth, LoadImage, LoadSegMask
from ttr_backbones.errors import InputError


@pytest.fixture(params=["mask", "depth", "boxes"])
def load(request, tmp_path):
    """Load an image of `size` (width, height) with an orientation, and what was drawn on it."""

    def read(turned, size, drawn_on, **options):
        exif = Image.Exif()
        exif[0x112] = turned
        Image.new("RGB", size).save(tmp_path / "i.jpg", exif=exif)
        mask = np.ones(drawn_on[::-1], np.uint8)
        Image.fromarray(mask).save(tmp_path / "m.png")
        Image.fromarray(mask.astype(np.uint16) * 2000).save(tmp_path / "d.png")
        info = {"img_path": str(tmp_path / "i.jpg"), "seg_map_path": str(tmp_path / "m.png")}
        info |= {"depth_map_path": str(tmp_path / "d.png"), "seg_fields": [], "label_map": None}
        info |= {"reduce_zero_label": False, "boxes": [[0, 0, 5, 5]], "size": drawn_on}
        steps = {"mask": LoadSegMask(num_classes=2), "depth": LoadDepth(), "boxes": LoadBoxes()}
        return steps[request.param](LoadImage(**options)(info))

    return read


@pytest.mark.parametrize(("turned", "size"), [(2, (60, 40)), (3, (60, 40)), (6, (48, 48))])
def test_orientation_that_keeps_the_size__is_refused(load, turned, size):
    with pytest.raises(InputError, match=rf"i\.jpg is turned by its EXIF orientation {turned} "):
        load(turned, size, size)
    load(turned, size, size, color_type="color_ignore_orientation")
    load(1, size, size)


def test_orientation_that_swaps_the_sides__is_told_apart_by_the_size(load):
    load(6, (60, 40), (40, 60))
    with pytest.raises(InputError, match=r"color_ignore_orientation"):
        load(6, (60, 40), (60, 40))
