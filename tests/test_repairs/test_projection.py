"""The projection: what the block writes along a direction is gone, and nothing else."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F

from ttr_backbones.errors import InputError
from ttr_backbones.repairs import Artifact, apply_repair, describe_repair, fit_repair, remove_repair
from ttr_backbones.repairs.projection import projected

FACTS = {"block": 1, "layers": "mlp", "strength": 1.0}


@pytest.fixture
def images():
    return torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(2))


def test_projected__writes_nothing_along_the_direction_behind_layer_scale():
    generator = torch.Generator().manual_seed(0)
    weight = torch.randn(6, 9, generator=generator)
    direction = F.normalize(torch.randn(6, generator=generator), dim=0)
    scale = torch.tensor([0.5, -1.0, 2.0, 1e-3, 1.0, 0.0])
    x = torch.randn(9, 4, generator=generator)
    for each in (None, torch.full((6,), 1e-5), scale[:5]):
        unit, matrix = F.normalize(direction[: 6 if each is None else len(each)], dim=0), weight
        matrix = weight[: len(unit)]
        factor = torch.ones(len(unit)) if each is None else each
        before = factor[:, None] * (matrix @ x)
        after = factor[:, None] * (projected(matrix, unit, each, 1.0) @ x)
        expected = before - unit[:, None] * (unit @ before)
        torch.testing.assert_close(after, expected, rtol=1e-4, atol=1e-6)
        half = factor[:, None] * (projected(matrix, unit, each, 0.5) @ x)
        torch.testing.assert_close(half, (before + expected) / 2, rtol=1e-4, atol=1e-6)
    changed = projected(weight, direction, scale, 1.0)
    assert torch.equal(changed[5], weight[5]), "a channel that writes nothing"
    written = scale[:, None] * (changed @ x)
    torch.testing.assert_close(direction @ written, torch.zeros(4), rtol=0, atol=1e-5)


@torch.no_grad()
def test_fit__finds_the_writing_block_and_takes_its_outliers_away(planted):
    model = planted(places=[(2, 5)])
    artifact = fit_repair("projection", model.vit, model.images, direction="empirical")
    assert artifact.facts == {"block": 2, "layers": "mlp", "strength": 1.0}
    state = {name: tensor.clone() for name, tensor in model.vit.state_dict().items()}
    apply_repair(model.vit, artifact)
    norms = model.vit.forward_features(model.images).norm(dim=2)
    assert norms.isfinite().all()
    taken = model.vit.forward_intermediates(
        model.images, [2], norm=False, output_fmt="NLC", intermediates_only=True
    )[0]
    assert taken.norm(dim=2).max() < 20
    changed = {n for n, t in model.vit.state_dict().items() if not torch.equal(t, state[n])}
    assert changed == {"blocks.2.mlp.fc2.weight"}


@torch.no_grad()
def test_options__layers_and_strength(make_vit, images):
    vit = make_vit()
    artifact = fit_repair("projection", vit, images, block=1, layers="both", strength=0.5)
    apply_repair(vit, artifact)
    described = describe_repair(vit)
    assert (described["layers"], described["strength"]) == ("both", 0.5)
    changed = {
        name
        for (name, now), before in zip(
            vit.state_dict().items(), make_vit().state_dict().values(), strict=True
        )
        if not torch.equal(now, before)
    }
    assert changed == {"blocks.1.attn.proj.weight", "blocks.1.mlp.fc2.weight"}
    half = vit(images)
    remove_repair(vit)
    assert not torch.equal(apply_repair(vit, artifact, strength=1.0)(images), half)
    assert describe_repair(vit)["strength"] == 1.0
    random = {"direction": "random", "block": 1}
    one, other = (fit_repair("projection", make_vit(), images, **random, seed=s) for s in (1, 2))
    assert one.sha256 != other.sha256


def test_what_cannot_be__is_explained(make_vit, images):
    vit = make_vit()
    for options, message in (
        ({"block": 4}, r"no block 4: the model has blocks 0\.\.3"),
        ({"block": 1, "layers": "all"}, "unknown layers 'all'.*both"),
        ({"block": 1, "strength": 1.5}, r"strength=1\.5: expected a share above 0 and up to 1"),
        ({"block": 1, "direction": "mean"}, "unknown direction 'mean'"),
        ({}, "this model has no outliers"),
    ):
        with pytest.raises(InputError, match=message):
            fit_repair("projection", vit, images, **options)
    for tensors, facts, message in (
        ({}, FACTS, r"has one tensor, `direction` \[C\]"),
        ({"direction": torch.ones(32)}, {"block": 1}, "has block, layers and strength, this one"),
    ):
        with pytest.raises(InputError, match=message):
            apply_repair(vit, Artifact("projection", "", tensors, facts))
