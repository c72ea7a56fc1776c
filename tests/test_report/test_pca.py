"""PCA maps: planted components come back, with fixed signs, on one basis for all."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from ttr_backbones.errors import InputError
from ttr_backbones.report.inspection import Inspection
from ttr_backbones.report.pca import otsu_threshold, pca_maps


def inspection(features, outliers=()):
    """An inspection with features [B, C, h, w]; outliers (image, row, column) have a norm of 500.

    That gap is how they are known; their features are what they are.
    """
    B, _, h, w = features.shape
    norms = 10 + torch.rand(1, B, h, w, generator=torch.Generator().manual_seed(1))
    for image, row, column in outliers:
        norms[0, image, row, column] = 500
    return Inspection("none", 0, norms, None, None, {}, features, {})


@pytest.fixture
def planted():
    """Features of rank 3 with standard deviations 9, 3 and 1 along three axes of 8, and these."""
    make = torch.Generator().manual_seed(0)
    axes = torch.linalg.qr(torch.randn(8, 3, generator=make)).Q  # [C, 3]
    values = torch.randn(4, 6, 10, 3, generator=make) * torch.tensor([9.0, 3.0, 1.0])
    return (values @ axes.T + 5).movedim(3, 1), values


def test_planted_components_come_back_in_order(planted):
    features, values = planted
    pca = pca_maps([inspection(features)])
    maps = torch.from_numpy(pca.maps[0].astype(np.float32)).flatten(0, 2)
    correlations = torch.corrcoef(torch.cat([maps, values.flatten(0, 2)], dim=1).T)[:3, 3:].abs()
    assert correlations.diag().min() > 0.98
    assert pca.maps[0].shape == (4, 6, 10, 3)
    assert (pca.maps[0].min(), pca.maps[0].max()) == (0, 255)
    assert pca.explained == pytest.approx([0.89, 0.1, 0.01], abs=0.02)
    assert pca.foreground is None


def test_the_sign_does_not_depend_on_the_order_of_images_or_kinds(planted):
    features, _ = planted
    other = features + 0.1
    forth = pca_maps([inspection(features), inspection(other)])
    back = pca_maps([inspection(other.flip(0)), inspection(features.flip(0))])
    assert np.abs(forth.maps[0].astype(int) - back.maps[1][::-1]).max() <= 1


def test_equal_features_have_equal_colours_in_every_kind(planted):
    features, _ = planted
    changed = features.clone()
    changed[:, :, 0] += 20
    first, second = pca_maps([inspection(features), inspection(changed)]).maps
    assert np.array_equal(first[:, 1:], second[:, 1:])
    assert not np.array_equal(first[:, :1], second[:, :1])


def test_outliers_do_not_bend_the_basis(planted):
    features, _ = planted
    spoilt = features.clone()
    spoilt[0, :, 0, 0] = 1000 * torch.eye(8)[0]
    clean = pca_maps([inspection(features, [(0, 0, 0)])]).maps[0]
    seen = pca_maps([inspection(spoilt, [(0, 0, 0)])]).maps[0]
    assert np.array_equal(clean[1:], seen[1:])
    assert not np.array_equal(clean[0, 0, 0], seen[0, 0, 0]), "they are projected all the same"


def test_the_foreground_is_the_part_away_from_the_border(planted):
    features, _ = planted
    object_here = torch.zeros(4, 6, 10, dtype=torch.bool)
    object_here[:, 2:5, 3:7] = True
    for sign in (100, -100):
        apart = features + sign * object_here.unsqueeze(1)
        pca = pca_maps([inspection(apart)], foreground=True)
        assert torch.equal(pca.foreground[0], object_here)
        assert not pca.maps[0][~object_here.numpy()].any()
        assert np.ptp(pca.maps[0][object_here.numpy()], axis=0).min() > 200, "full range of colours"


def test_otsu_splits_between_two_groups():
    values = torch.cat([torch.linspace(0, 1, 90), torch.linspace(9, 10, 10)])
    assert 1 <= otsu_threshold(values) <= 9


def test_features_without_variance_have_colours_too():
    pca = pca_maps([inspection(torch.ones(1, 8, 4, 4))], foreground=True)
    assert not pca.maps[0].any()
    assert pca.explained == [0, 0, 0]


def test_too_few_channels_are_explained(planted):
    features, _ = planted
    with pytest.raises(InputError, match="3 channels or more, got 2"):
        pca_maps([inspection(features[:, :2])])


def test_the_real_register_changes_only_the_outliers_colours(real_inspections):
    before, after = pca_maps(real_inspections).maps
    change = np.abs(before.astype(int) - after).mean(axis=3)
    outliers = (real_inspections[0].norms[7] > 77).numpy()
    assert change[outliers].mean() > 3 * change[~outliers].mean()
