"""The bench of object discovery: both contestants do the same, and the numbers hold together."""

import pytest
import torch

from ttr_backbones.backbones import TimmViT
from ttr_backbones.bench.object_discovery import BACKBONE, BATCHED, USUAL, bench_object_discovery

SMALL = {"depth": 2, "embed_dim": 32, "num_heads": 2, "img_size": 64}


@pytest.fixture
def backbone():
    torch.manual_seed(0)
    return TimmViT("vit_tiny_patch16_224", model_kwargs=SMALL, facet="key", pad="corner")


def test_bench__times_both_forms_and_finds_the_same_boxes(backbone):
    images = torch.randn(5, 3, 80, 70, generator=torch.Generator().manual_seed(0))
    measured = bench_object_discovery(backbone, images, batch_sizes=(2,), rounds=2)
    against = {row.contestant: row.against for row in measured.rows}
    assert against == {BACKBONE: None, BATCHED: USUAL, USUAL: USUAL}
    assert all(row.images_per_second > 0 for row in measured.rows)
    assert measured.facts["same_boxes"] == {2: 5}
    assert 0 < measured.facts["share"][2] < 1
    goals = {row.contestant: row.goal for row in measured.rows if row.goal is not None}
    assert goals == {BATCHED: 1.0}, "the goal on a CPU"
    assert measured.notes[0].endswith("5 of 5 images have the same box both ways")


def test_bench__needs_a_round(backbone):
    with pytest.raises(ValueError, match="rounds=0: expected at least 1"):
        bench_object_discovery(backbone, torch.ones(1, 3, 64, 64), rounds=0)
