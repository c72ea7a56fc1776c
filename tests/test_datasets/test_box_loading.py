import cv2
import numpy as np
import pytest
import torch
from mmcv.transforms import Resize
from mmengine.dataset import Compose
from mmseg.registry import DATASETS

from ttr_backbones.datasets import BoxSample, LoadBoxes, LoadImage, PackBoxInputs
from ttr_backbones.errors import InputError, MissingFileError

LOAD, BOXES, PACK = LoadImage(), LoadBoxes(), PackBoxInputs()


def results(boxes, size=(40, 30), shape=(30, 40)):
    return {"img_path": "dog.jpg", "ori_shape": shape, "boxes": boxes, "size": size}


def test_pack__image_boxes_and_sizes(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 256, (30, 40, 3), dtype=np.uint8)
    cv2.imwrite(str(tmp_path / "a.png"), pixels)
    info = {"img_path": str(tmp_path / "a.png"), "boxes": [[0, 0, 40, 30], [1, 2, 3, 4]]}
    packed = Compose([LOAD, BOXES, PACK])(info)
    assert torch.equal(packed["inputs"], torch.from_numpy(pixels).permute(2, 0, 1))
    sample = packed["data_samples"]
    assert isinstance(sample, BoxSample)
    assert sample.gt_boxes.dtype == torch.float32
    assert sample.gt_boxes.tolist() == info["boxes"]
    assert sample.metainfo == {
        "img_path": info["img_path"],
        "ori_shape": (30, 40),
        "img_shape": (30, 40),
    }


@pytest.mark.parametrize("order", [("resize", "boxes"), ("boxes", "resize")])
def test_resize__leaves_boxes_in_pixels_of_the_image_on_disk(tmp_path, order):
    cv2.imwrite(str(tmp_path / "a.png"), np.zeros((30, 40, 3), dtype=np.uint8))
    steps = {"resize": Resize(scale=(80, 90)), "boxes": BOXES}
    info = {"img_path": str(tmp_path / "a.png"), "boxes": [[0, 0, 40, 30]], "size": (40, 30)}
    packed = Compose([LOAD, *(steps[name] for name in order), PACK])(info)
    sample = packed["data_samples"]
    assert packed["inputs"].shape == (3, 90, 80)
    assert (sample.ori_shape, sample.img_shape) == ((30, 40), (90, 80))
    assert sample.scale_factor == (2.0, 3.0)
    assert sample.gt_boxes.tolist() == [[0, 0, 40, 30]]


def test_pack__without_ground_truth():
    image = np.zeros((3, 4, 3), dtype=np.uint8)
    packed = PACK({"img": image, "img_path": "a.jpg", "ori_shape": (3, 4)})
    assert "gt_boxes" not in packed["data_samples"]


def test_boxes__may_pass_the_border_by_rounding():
    assert BOXES(results([[-1, 0, 41, 30.4]]))["gt_boxes"].shape == (1, 4)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (results([[0, 0, 42, 30]]), r"\[0.0, 0.0, 42.0, 30.0\] .* outside the image dog.jpg"),
        (results([[0, -2, 4, 3]]), "outside the image dog.jpg of 40x30 pixels"),
        (results([[0, 0, 4, 3]], size=(30, 40)), "40x30 pixels, its annotation says 30x40"),
        ({"img_path": "dog.jpg", "ori_shape": (3, 4)}, "found no boxes for dog.jpg"),
    ],
    ids=["right", "top", "size", "none"],
)
def test_boxes__that_do_not_fit_the_image(given, message):
    with pytest.raises(InputError, match=message):
        BOXES(given)


@pytest.mark.parametrize(
    "kwargs",
    [
        {"type": "VOCBoxes", "data_root": "VOCdevkit/VOC2007"},
        {"type": "VOCBoxes", "data_root": "VOCdevkit/VOC2012"},
        {
            "type": "COCO20k",
            "data_root": "coco",
            "ann_file": "annotations/instances_val2017.json",
            "data_prefix": {"img_path": "val2017"},
        },
    ],
    ids=lambda kwargs: kwargs["data_root"],
)
def test_real_data__passes_every_check(shared, kwargs):
    root = str(shared / "data" / kwargs["data_root"])
    data = DATASETS.build({**kwargs, "data_root": root, "pipeline": [LOAD, BOXES, PACK]})
    for item in data:
        assert item["inputs"].shape[1:] == item["data_samples"].ori_shape


def test_missing_image__is_named(shared):
    data = DATASETS.build(
        {
            "type": "VOCBoxes",
            "data_root": str(shared / "data/VOCdevkit/VOC2007"),
            "data_prefix": {"img_path": "elsewhere"},
            "pipeline": [LOAD, BOXES, PACK],
        }
    )
    with pytest.raises(MissingFileError, match=r"elsewhere/000012\.jpg does not exist"):
        data[0]
