"""Tiny vision-language models, random ones and one with the real tower."""

import numpy as np
import pytest
from PIL import Image

pytest.importorskip("transformers")

from tiny_llava import WIDTH, plant_norm_reader, processor, tiny_llava
from tiny_vlms import KINDS

from ttr_backbones.vlm import VLM


@pytest.fixture(scope="session")
def vlms():
    """All kinds, random."""
    return {name: make() for name, make in KINDS.items()}


@pytest.fixture(scope="session")
def norm_reader(tiny_weights):
    """The real tower before a language model that looks where its features are largest."""
    return VLM(plant_norm_reader(tiny_llava(tiny_weights, hidden=2 * WIDTH)), processor())


@pytest.fixture(scope="session")
def pictures():
    """A wide, a tall and a square picture of noise."""
    drawn = np.random.default_rng(0)
    return [
        Image.fromarray(drawn.integers(0, 255, (height, width, 3), dtype=np.uint8))
        for height, width in ((60, 80), (90, 50), (64, 64))
    ]


@pytest.fixture(scope="session")
def coco_photos(shared):
    """A cat on a couch and a person (COCO val2017, 15497 and 11051)."""
    folder = shared / "data" / "coco" / "val2017"
    return [Image.open(folder / f"0000000{n}.jpg").convert("RGB") for n in (15497, 11051)]
