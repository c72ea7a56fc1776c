"""TokenCut: the eigenvector and the boxes that a dense generalised eigensolver gives."""

from __future__ import annotations

import sys

import numpy as np
import pytest
import scipy.linalg
import scipy.ndimage
import torch

from ttr_backbones.object_discovery import tokencut, tokencut_batch

GRID, PATCH, SIZE = (6, 8), (16, 16), (96, 128)


def plain_tokencut(feats, grid, patch, image_size, tau=0.2, eps=1e-5):
    """One image's features [N, C] -> box and second eigenvector, by scipy in float64."""
    unit = feats / np.linalg.norm(feats, axis=1, keepdims=True)
    weights = np.where(unit @ unit.T > tau, 1.0, eps)
    degree = np.diag(weights.sum(axis=1))
    v = scipy.linalg.eigh(degree - weights, degree, subset_by_index=[1, 2])[1][:, 0]
    seed = np.argmax(np.isclose(np.abs(v), np.abs(v).max(), rtol=1e-6, atol=0))
    mask = (v > v.mean()) == (v[seed] > v.mean())
    labels, _ = scipy.ndimage.label(mask.reshape(grid))
    rows, columns = np.where(labels == labels[np.unravel_index(seed, grid)])
    right = min((columns.max() + 1) * patch[1], image_size[1])
    bottom = min((rows.max() + 1) * patch[0], image_size[0])
    return [columns.min() * patch[1], rows.min() * patch[0], right, bottom], v


def test_a_rectangle_is_found_exactly(rectangle):
    found = tokencut(rectangle(GRID, (1, 3), (5, 8)), GRID, PATCH, (96, 115))
    assert found.box.tolist() == [80, 16, 115, 48]
    assert found.seed == 13, "the first of the rectangle's patches, which are all alike"
    inside = torch.zeros(GRID, dtype=torch.bool)
    inside[1:3, 5:8] = True
    assert torch.equal(found.degrees < found.degrees.mean(), inside.flatten())


@pytest.mark.parametrize("tau", [0.2, 0.5])
def test_features_of_the_real_vit_give_what_scipy_gives(real_maps, tau):
    place = ((14, 14), (16, 16), (220, 217))
    for real in real_maps:
        feats = real.flatten(2).transpose(1, 2)
        found = tokencut_batch(feats, *place, tau=tau)
        assert not found.collapsed.any()
        for index, feature in enumerate(feats):
            box, v = plain_tokencut(feature.numpy(), *place, tau=tau)
            sign = np.sign(v[found.seeds[index]])
            np.testing.assert_allclose(-sign * v, found.degrees[index], rtol=1e-3, atol=1e-7)
            assert found.boxes[index].tolist() == box


def test_a_batch_gives_what_each_image_gives(real_maps, monkeypatch):
    feats, place = real_maps[0].flatten(2).transpose(1, 2), ((14, 14), (16, 16), (224, 224))
    whole = tokencut_batch(feats, *place)
    monkeypatch.setattr(
        sys.modules["ttr_backbones.object_discovery.tokencut"], "MOST_PAIRS", 3 * 196**2
    )
    parts = tokencut_batch(feats, *place)
    for index, feature in enumerate(feats):
        box = tokencut(feature, *place).box.tolist()
        assert box == whole.boxes[index].tolist() == parts.boxes[index].tolist()


def test_nothing_to_cut_collapses_and_says_so():
    with pytest.warns(UserWarning, match="nothing to cut.*`tau`"):
        tokencut(torch.ones(48, 3), GRID, PATCH, SIZE)
    alone = torch.eye(6)[None]
    assert tokencut_batch(alone, (2, 3), PATCH, (32, 48)).collapsed.all()
    one = tokencut_batch(torch.ones(1, 1, 3), (1, 1), PATCH, (16, 16))
    assert one.boxes.tolist() == [[0, 0, 16, 16]]
    assert one.collapsed.all()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"tau": 1.0}, r"tau=1.0, eps=1e-05: expected tau within \[-1, 1\)"),
        ({"eps": 0.0}, r"eps within \(0, 1\)"),
        ({"feats": torch.ones(47, 2)}, "47 patches, but grid"),
        ({"feats": torch.full((48, 2), torch.nan)}, "NaN or infinity"),
    ],
)
def test_bad_input_is_explained(change, message):
    given = {"feats": torch.ones(48, 2), "grid": GRID, "patch": PATCH, "image_size": SIZE}
    with pytest.raises(ValueError, match=message):
        tokencut(**(given | change))
