"""Methods by name, and what is wrong with a config said in words."""

import pytest
import torch

from ttr_backbones.object_discovery import METHODS, build_method, lost_batch, tokencut_batch

PLACE = {"grid": (4, 5), "patch": (8, 8), "image_size": (32, 40)}


def test_each_name_builds_its_method_with_its_arguments():
    feats = torch.randn(2, 20, 6, generator=torch.Generator().manual_seed(0))
    lost, _ = build_method({"type": "lost", "k": 3, "bias": -0.3, "normalize": True})
    given = lost(feats, **PLACE)
    expected = lost_batch(feats, **PLACE, k=3, bias=-0.3, normalize=True)
    assert all(torch.equal(a, b) for a, b in zip(given, expected, strict=True))
    cut, _ = build_method({"type": "tokencut", "tau": 0.1})
    assert torch.equal(cut(feats, **PLACE).boxes, tokencut_batch(feats, **PLACE, tau=0.1).boxes)
    assert set(METHODS) == {"lost", "tokencut"}


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"type": "LOST"}, r"unknown method of object discovery 'LOST'.*Known: lost, tokencut"),
        ({}, "unknown method of object discovery 'None'"),
        ({"type": "lost", "biass": 1}, r"unknown argument of the method 'lost' 'biass'.*'bias'"),
        ({"type": "tokencut", "k": 1}, r"unknown argument of the method 'tokencut' 'k'.*eps, tau"),
        ({"type": "lost", "grid": (1, 2)}, "unknown argument .*'grid'"),
    ],
)
def test_bad_configs_are_explained(config, message):
    with pytest.raises(ValueError, match=message):
        build_method(config)
