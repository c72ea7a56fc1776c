"""Neighbour replacement: who stands out, by hand; the grid of every image; traced graphs."""

from __future__ import annotations

import copy

import pytest
import torch
from torch.nn import functional as F

from ttr_backbones.backbones import TimmViT
from ttr_backbones.errors import InputError
from ttr_backbones.repairs import Artifact, apply_repair, describe_repair, fit_repair, remove_repair
from ttr_backbones.repairs.neighbours.outlier_patches import (
    by_direction,
    by_local_outlier_factor,
    by_norm,
    local_outlier_factors,
)
from ttr_backbones.repairs.neighbours.replacement import replaced_by_neighbours

SMALL = {"img_size": 64, "depth": 1, "embed_dim": 32, "num_heads": 2, "init_values": 1.0}
WAYS = {
    "norm": {"by": "norm", "block": 1, "threshold": 4.0},
    "direction": {"by": "direction", "block": 1, "threshold": 0.2},
    "lof": {"by": "lof", "block": 1, "neighbours": 5, "share": 0.1},
}


@pytest.fixture
def images():
    return torch.randn(3, 3, 48, 96, generator=torch.Generator().manual_seed(2))


def test_replaced_by_neighbours__by_hand():
    maps = torch.arange(24.0).reshape(1, 4, 3, 2)
    flagged = torch.zeros(1, 4, 3, dtype=torch.bool)
    flagged[0, 0, 0] = flagged[0, 0, 1] = flagged[0, 2, 1] = True
    found = replaced_by_neighbours(maps, flagged)
    clean = {
        (0, 0): [(1, 0), (1, 1)],
        (0, 1): [(0, 2), (1, 0), (1, 1), (1, 2)],
        (2, 1): [(1, 0), (1, 1), (1, 2), (2, 0), (2, 2), (3, 0), (3, 1), (3, 2)],
    }
    for (row, column), near in clean.items():
        expected = torch.stack([maps[0, r, c] for r, c in near]).mean(dim=0)
        torch.testing.assert_close(found[0, row, column], expected)
    assert torch.equal(found[~flagged], maps[~flagged])

    flagged = torch.ones(1, 4, 3, dtype=torch.bool)
    assert torch.equal(replaced_by_neighbours(maps, flagged), maps), "nothing is clean"
    flagged[0, 3, 2] = False
    far = replaced_by_neighbours(maps, flagged)[0, 0, 0]
    torch.testing.assert_close(far, maps[0, 3, 2])
    broken = maps.clone()
    broken[0, 0, 0] = torch.inf
    flagged = ~broken.isfinite().all(dim=-1)
    assert replaced_by_neighbours(broken, flagged).isfinite().all()


def test_local_outlier_factors__by_the_definition():
    tokens = torch.randn(2, 12, 3, generator=torch.Generator().manual_seed(0))
    tokens[1, 4] += 10
    factors = local_outlier_factors(tokens, 4)
    for image, found in zip(tokens, factors, strict=True):
        distance = (image[:, None] - image[None]).norm(dim=2)
        near = [sorted(set(range(12)) - {i}, key=lambda j: distance[i, j])[:4] for i in range(12)]
        reach = [distance[i, near[i][-1]] for i in range(12)]
        density = [
            4 / sum(torch.maximum(reach[j], distance[i, j]) for j in near[i]) for i in range(12)
        ]
        expected = [sum(density[j] for j in near[i]) / 4 / density[i] for i in range(12)]
        torch.testing.assert_close(found, torch.stack(expected), rtol=1e-3, atol=1e-4)
    flagged = by_local_outlier_factor(tokens.unflatten(1, (3, 4)), 4, 0.05)
    assert flagged[1].flatten().nonzero().tolist() == [[4]]
    assert by_local_outlier_factor(tokens.unflatten(1, (3, 4)), 99, 0.25).sum().item() == 6


def test_by_norm_and_direction():
    maps = torch.tensor([[[[3.0, 4.0], [0.0, -6.0], [0.1, 0.0]]]])
    assert by_norm(maps, 5.5).tolist() == [[[False, True, False]]]
    assert by_direction(maps, torch.tensor([0.0, 1.0]), 0.9).tolist() == [[[False, True, False]]]


@pytest.mark.parametrize("way", WAYS)
@torch.no_grad()
def test_the_model_by_hand_at_every_grid_and_batch(make_vit, images, way):
    """Block by block through timm's own modules, where nothing but this test knows the grid."""
    vit = make_vit()
    artifact = fit_repair("neighbours", vit, images, **WAYS[way])
    apply_repair(vit, artifact)
    expected = []
    for image in images:
        plain = make_vit()
        tokens = plain.norm_pre(plain._pos_embed(plain.patch_embed(image[None])))
        for index, block in enumerate(plain.blocks):
            tokens = block(tokens)
            if index == 1:
                patches = tokens[:, 1:].unflatten(1, (3, 6))
                flagged = {
                    "norm": lambda p: by_norm(p, 4.0),
                    "direction": lambda p: by_direction(p, artifact.tensors["direction"], 0.2),
                    "lof": lambda p: by_local_outlier_factor(p, 5, 0.1),
                }[way](patches)
                assert flagged.any()
                assert not flagged.all()
                patches = replaced_by_neighbours(patches, flagged).flatten(1, 2)
                tokens = torch.cat([tokens[:, :1], patches], dim=1)
        expected.append(plain.norm(tokens))
    torch.testing.assert_close(vit.forward_features(images), torch.cat(expected))
    turned = vit.forward_features(images.transpose(2, 3))  # as many patches, another grid
    singles = torch.cat([vit.forward_features(i[None]) for i in images.transpose(2, 3)])
    torch.testing.assert_close(turned, singles)
    copied = copy.deepcopy(vit)
    vit.forward_features(torch.randn(1, 3, 32, 32))
    torch.testing.assert_close(copied.forward_features(images), torch.cat(expected))


@torch.no_grad()
def test_a_model_for_images_of_one_size_knows_its_grid(make_vit):
    options = {"dynamic_img_size": False, "img_size": (48, 96)}
    images = torch.randn(2, 3, 48, 96)
    artifact = fit_repair("neighbours", make_vit(**options), images, **WAYS["norm"])
    found = apply_repair(make_vit(**options), artifact).forward_features(images)
    assert not torch.equal(found, make_vit(**options).forward_features(images))


@pytest.mark.nightly
@pytest.mark.exports
@pytest.mark.slow
@torch.no_grad()
def test_one_graph_for_every_batch(images):
    """By the way that reads most of the shape; nothing that is handed on is a side effect."""
    backbone = TimmViT("vit_tiny_patch16_224", model_kwargs=SMALL, pad=None)
    artifact = fit_repair("neighbours", backbone.vit, images, **WAYS["lof"] | {"block": 0})
    apply_repair(backbone.vit, artifact)
    dims = {0: torch.export.Dim.DYNAMIC}
    program = torch.export.export(backbone, (images,), dynamic_shapes=(dims,), strict=True)
    other = torch.randn(5, 3, 48, 96)
    torch.testing.assert_close(program.module()(other)[0], backbone(other)[0])


@torch.no_grad()
def test_fit__finds_block_and_norm_of_planted_outliers(planted):
    model = planted(places=[(2, 5)])
    artifact = fit_repair("neighbours", model.vit, model.images)
    assert (artifact.facts["by"], artifact.facts["block"]) == ("norm", 2)
    before = model.vit.forward_features(model.images)
    apply_repair(model.vit, artifact)
    taken = model.vit.forward_intermediates(
        model.images, [2], norm=False, output_fmt="NLC", intermediates_only=True
    )[0]
    assert taken.norm(dim=2).max() < 30
    similar = F.cosine_similarity(before, model.vit.forward_features(model.images), dim=2)[:, 1:]
    assert similar[~model.bright].min() > 0.9
    remove_repair(model.vit)
    about = describe_repair(apply_repair(model.vit, artifact, block=3, threshold=50.0))
    assert (about["block"], about["threshold"]) == (3, 50.0)


def test_what_cannot_be__is_explained(make_vit, images):
    vit = make_vit()
    for options, message in (
        ({"by": "cls"}, "unknown by 'cls'"),
        ({"block": 4, "threshold": 3.0}, r"no block 4: the model has blocks 0\.\.3"),
        ({"by": "direction", "block": 9}, "no block 9"),
        ({"by": "direction", "block": 1, "threshold": 2.0}, "threshold=2.0: expected a number bet"),
        ({"by": "lof", "neighbours": 0}, "neighbours=0: expected a number at least 1"),
        ({"by": "lof", "share": 1.0}, r"share=1\.0: expected a number between 0 and 1"),
        ({}, "this model has no outliers"),
    ):
        with pytest.raises(InputError, match=message):
            fit_repair("neighbours", vit, images, **options)
    assert fit_repair("neighbours", vit, images, by="lof").facts["block"] == 2
    artifact = Artifact("neighbours", "", {}, {"by": "direction", "block": 1, "threshold": 0.5})
    with pytest.raises(InputError, match="has one tensor, `direction`"):
        apply_repair(vit, artifact)
    with pytest.raises(InputError, match="has by='norm' or 'direction' with block"):
        apply_repair(vit, Artifact("neighbours", "", {}, {"by": "norm"}))
    artifact = fit_repair("neighbours", vit, images, **WAYS["norm"])
    with pytest.raises(InputError, match="no block 7"):
        apply_repair(vit, artifact, block=7)
