"""The bench of object discovery: both contestants do the same, and the numbers hold together."""

import pytest
import torch

from ttr_backbones.backbones import TimmViT
from ttr_backbones.bench.discovery import BACKBONE, BATCHED, USUAL, bench_discovery

SMALL = {"depth": 2, "embed_dim": 32, "num_heads": 2, "img_size": 64}


@pytest.fixture
def backbone():
    torch.manual_seed(0)
    return TimmViT("vit_tiny_patch16_224", model_kwargs=SMALL, facet="key", pad="corner")


def test_bench__times_both_forms_and_finds_the_same_boxes(backbone):
    images = torch.randn(5, 3, 80, 70, generator=torch.Generator().manual_seed(0))
    result = bench_discovery(backbone, images, batch_size=2, rounds=2)
    assert list(result.images_per_second) == [BACKBONE, BATCHED, USUAL]
    assert all(speed > 0 for speed in result.images_per_second.values())
    assert result.same_boxes == result.num_images == 5
    assert 0 < result.share < 1
    assert (result.goal_speedup, result.goal_share) == (1.0, None), "the goals on a CPU"


def test_bench__needs_a_round(backbone):
    with pytest.raises(ValueError, match="rounds=0: expected at least 1"):
        bench_discovery(backbone, torch.ones(1, 3, 64, 64), rounds=0)
