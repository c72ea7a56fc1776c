"""A tiny backbone with weights in a file, a list for it, and two data sets of a few images."""

import shutil

import cv2
import numpy as np
import pytest
import timm
from safetensors.torch import save_file

from ttr_backbones.registers import RegisterNeurons

MODEL = "vit_tiny_patch16_224"
KWARGS = {"depth": 4, "embed_dim": 32, "num_heads": 2, "img_size": 64, "init_values": 1.0}
BACKBONE = """
backbone = dict(type="TimmViT", model={model!r}, model_kwargs={kwargs!r}, frozen=True)
facts = dict(
    title="a tiny ViT", channels=32, four_blocks=(0, 0, 1, 1), facet="key",
    mean=[127.5] * 3, std=[127.5] * 3,
)
"""
XML = """<annotation><size><width>96</width><height>80</height></size><object>
<bndbox><xmin>17</xmin><ymin>17</ymin><xmax>64</xmax><ymax>64</ymax></bndbox></object></annotation>"""


@pytest.fixture(scope="session")
def tiny(tmp_path_factory):
    """Return a folder with `tiny.py`, `tiny.safetensors` and `list.json`."""
    import torch

    folder = tmp_path_factory.mktemp("tiny")
    (folder / "tiny.py").write_text(BACKBONE.format(model=MODEL, kwargs=KWARGS))
    torch.manual_seed(0)
    save_file(timm.create_model(MODEL, **KWARGS).state_dict(), folder / "tiny.safetensors")
    RegisterNeurons(model=MODEL, layers={0: [3, 7], 1: [5]}).save(folder / "list.json")
    return folder


@pytest.fixture(scope="session")
def data(tmp_path_factory):
    """Draw VOC 2007 of six images and ADE20K of two and three."""
    root, rng = tmp_path_factory.mktemp("data"), np.random.default_rng(0)

    def draw(path, pixels):
        path.parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(path), pixels)

    def noise():
        return rng.integers(0, 256, (80, 96, 3), dtype=np.uint8)

    voc = root / "VOCdevkit" / "VOC2007"
    for name in "abcdef":
        draw(voc / "JPEGImages" / f"{name}.jpg", noise())
        (voc / "Annotations").mkdir(exist_ok=True)
        (voc / "Annotations" / f"{name}.xml").write_text(XML)
    (voc / "ImageSets/Main").mkdir(parents=True)
    (voc / "ImageSets/Main/trainval.txt").write_text("a\nb\nc\nd\ne\nf\n")
    ade = root / "ADEChallengeData2016"
    for split, number in (("training", 2), ("validation", 3)):
        for index in range(number):
            draw(ade / "images" / split / f"{index}.jpg", noise())
            mask = np.kron(rng.integers(1, 4, (5, 6)), np.ones((16, 16))).astype(np.uint8)
            draw(ade / "annotations" / split / f"{index}.png", mask)
    return root


@pytest.fixture
def moved(data, tmp_path):
    """Return a copy of the data elsewhere."""
    return shutil.copytree(data, tmp_path / "moved")
