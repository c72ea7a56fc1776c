"""A backbone that takes milliseconds, and how its contestants are made."""

import pytest
import torch

from ttr_backbones.bench.benched_vit import BenchedVit
from ttr_backbones.bench.contestants import make_contestants
from ttr_backbones.registers import RegisterNeurons

SMALL = {
    "img_size": 64,
    "depth": 2,
    "embed_dim": 64,
    "num_heads": 2,
    "init_values": 1.0,  # LayerScale that hides nothing
}
LAYERS = {0: [3, 100, 255], 1: [0]}


@pytest.fixture(autouse=True)
def timed_once(monkeypatch):
    """One pass is one timing, however short it is: no time is asserted on."""
    monkeypatch.setattr("ttr_backbones.bench.rounds.times_for", lambda seconds: 1)


@pytest.fixture
def small():
    """More arguments of `timm.create_model`."""
    return dict(SMALL)


@pytest.fixture
def layers():
    """Register neurons of the small ViT."""
    return {block: list(units) for block, units in LAYERS.items()}


@pytest.fixture
def images():
    return torch.randn(3, 3, 64, 64, generator=torch.Generator().manual_seed(0))


@pytest.fixture
def benched(small, layers):
    return BenchedVit(
        "vit_tiny_patch16_224", neurons=RegisterNeurons("", layers), model_kwargs=small
    )


@pytest.fixture
def backbone(benched):
    torch.manual_seed(0)
    return benched.backbone()


@pytest.fixture
def models(backbone, layers, images):
    """The contestants of `ttrb bench forward`, {name: model}."""
    return make_contestants(backbone, RegisterNeurons("", layers), images)
