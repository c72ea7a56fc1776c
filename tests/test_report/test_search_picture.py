"""The picture of a search: its numbers, and that it draws whatever was found."""

import cv2
import pytest
import torch

from ttr_backbones.images.batches import image_batches
from ttr_backbones.neuron_search.search import FoundNeurons
from ttr_backbones.neuron_search.tune import TunedNeurons
from ttr_backbones.registers import has_test_time_registers
from ttr_backbones.report.search_picture import BlockNorms, draw_search, norms_before_and_after


@pytest.fixture
def vit(make_vit):
    """Unit 5 of block 1 writes a huge norm wherever it fires."""
    vit = make_vit()
    with torch.no_grad():
        vit.blocks[1].mlp.fc2.weight[:, 5] *= 1e3
    return vit


FOUND = {
    "model": "vit_tiny_patch16_224",
    "layers": {1: [5]},
    "ranking": [(1, 5, 80.0), (0, 3, 2.0), (1, 9, 0.5)],
    "threshold": 50.0,
    "detect_block": 1,
    "num_images": 6,
    "num_outliers": 9,
}
TUNED = {
    "num_held_out": 2,
    "outliers_before": 0.02,
    "outliers_after": 0.0,
    "cosine": 0.98,
    "passed": True,
    "curve": [
        {"k": k, "num": 1, "outliers": 0.0, "cosine": 0.9, "step": "ranking", "top_block": 1}
        for k in (1, 2)
    ],
    "controls": {
        "random": {"outliers": 0.02, "cosine": 1.0},
        "zeroed": {"outliers": 0.0, "cosine": 0.8},
    },
}
NORMS = BlockNorms([5.0, 90.0, 95.0], [4.0, 4.5, 5.0]), BlockNorms([5.0, 6.0, 7.0], [4.0] * 3)


@torch.no_grad()
def test_norms__by_hand(vit):
    images = torch.randn(4, 3, 64, 64)
    before, after = norms_before_and_after(vit, FoundNeurons(**FOUND), image_batches(images, vit))
    outputs = vit.forward_intermediates(images[3:], output_fmt="NLC", intermediates_only=True)
    expected = [output.norm(dim=2) for output in outputs]
    for block, norms in enumerate(expected):
        assert before.largest[block] == pytest.approx(norms.max().item(), rel=0.01)
        assert before.median[block] == pytest.approx(norms.median().item(), rel=0.15)
    assert after.largest[0] == pytest.approx(before.largest[0], rel=0.5)
    assert after.largest[1] < before.largest[1] / 2
    assert not has_test_time_registers(vit)


@pytest.mark.parametrize(
    ("found", "width"), [(FoundNeurons(**FOUND), 1400), (TunedNeurons(**FOUND, **TUNED), 2100)]
)
def test_draw(found, width, tmp_path):
    draw_search(found, NORMS, tmp_path / "a.png")
    image = cv2.imread(str(tmp_path / "a.png"))
    assert image.shape[1] > width
    assert image.std() > 10


def test_draw__a_failed_search(tmp_path):
    failed = TUNED | {"passed": False, "outliers_after": 0.01}
    draw_search(TunedNeurons(**FOUND, **failed), NORMS, tmp_path / "a.png")
    assert (tmp_path / "a.png").is_file()
