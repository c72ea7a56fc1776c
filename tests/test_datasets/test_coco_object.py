"""COCO-Object from the maps of COCO-Stuff, and VOC without background, in the official layouts."""

import cv2
import numpy as np
import pytest
from mmengine.registry import init_default_scope

from ttr_backbones.cli import main
from ttr_backbones.datasets import COCOObjectDataset, PascalVOC20Dataset
from ttr_backbones.datasets.coco_object import label_of_map
from ttr_backbones.errors import InputError
from ttr_backbones.package_data import configs_dir

LOAD = [
    {"type": "LoadImage"},
    {"type": "LoadSegMask", "num_classes": 81, "reduce_zero_label": False},
]


@pytest.fixture(autouse=True)
def scope():
    init_default_scope("mmseg")


@pytest.fixture
def root(tmp_path):
    for folder in ("images/val2017", "annotations/val2017"):
        (tmp_path / folder).mkdir(parents=True)
    return tmp_path


def write(root, name, values):
    values = np.array([values], dtype=np.uint8)
    cv2.imwrite(str(root / f"images/val2017/{name}.jpg"), np.zeros((*values.shape, 3), np.uint8))
    cv2.imwrite(str(root / f"annotations/val2017/{name}.png"), values)


def dataset(root, **options):
    prefix = {"img_path": "images/val2017", "seg_map_path": "annotations/val2017"}
    return COCOObjectDataset(data_root=str(root), data_prefix=prefix, pipeline=LOAD, **options)


def test_coco_object__things_in_order_and_the_rest_is_background(root):
    # person, bicycle, dog (id 18), toothbrush (90), stuff (92, 182), unlabelled
    write(root, "000000000139", [0, 1, 17, 89, 91, 181, 255])
    found = dataset(root)
    labels = found[0]["gt_seg_map"][0].tolist()
    names = [found.metainfo["classes"][label] for label in labels]
    assert names == ["person", "bicycle", "dog", "toothbrush", *["background"] * 3]
    assert labels[:4] == [1, 2, 17, 80]
    assert len(found.metainfo["classes"]) == len(found.metainfo["palette"]) == 81
    mapping = label_of_map()
    assert sorted({*mapping.values()}) == [*range(81), 254]
    assert sorted(mapping) == [*range(182), 255]


def test_coco_object__an_id_without_category_is_named(root, capsys):
    write(root, "000000000139", [0, 11, 90, 255])  # id 12 is no object of COCO
    with pytest.raises(InputError, match=r"000000000139.png holds the label\(s\) \[11\]"):
        dataset(root)[0]
    config = ["sclip_coco_object", "--data-root", str(root)]
    assert main(["check-data", *config]) == 1
    out = capsys.readouterr().out
    assert "COCOObjectDataset: 1 samples, 1 problem(s)" in out
    assert "5000 (val2017)" in out
    assert main(["check-data", "sclip_coco_object", "--data-root", str(root / "images")]) == 1
    assert "stuffthingmaps_trainval2017.zip" in capsys.readouterr().out


def test_voc20__the_background_does_not_count(tmp_path):
    for folder in ("JPEGImages", "SegmentationClass", "ImageSets"):
        (tmp_path / folder).mkdir()
    (tmp_path / "ImageSets/val.txt").write_text("a\n")
    cv2.imwrite(str(tmp_path / "JPEGImages/a.jpg"), np.zeros((1, 4, 3), np.uint8))
    cv2.imwrite(
        str(tmp_path / "SegmentationClass/a.png"), np.array([[0, 1, 20, 255]], dtype=np.uint8)
    )
    found = PascalVOC20Dataset(
        data_root=str(tmp_path),
        ann_file="ImageSets/val.txt",
        data_prefix={"img_path": "JPEGImages", "seg_map_path": "SegmentationClass"},
        pipeline=[*LOAD[:1], {"type": "LoadSegMask", "num_classes": 20}],
    )
    assert found[0]["gt_seg_map"].tolist() == [[255, 0, 19, 255]]
    assert found.metainfo["classes"][0] == "aeroplane"
    assert (len(found.metainfo["classes"]), len(found.metainfo["palette"])) == (20, 20)
    assert (configs_dir() / "classes/voc20.txt").is_file()
