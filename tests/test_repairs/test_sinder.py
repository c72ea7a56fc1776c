"""SINDER's detection, target, loss, gradient and fit, against restatements and planted outliers."""

from __future__ import annotations

import math
from collections import Counter

import pytest
import torch
from timm.layers import SwiGLUPacked
from torch.nn import functional as F

from ttr_backbones.errors import InputError
from ttr_backbones.repairs import Artifact, apply_repair, fit_repair
from ttr_backbones.repairs.fit_facts import fit_facts
from ttr_backbones.repairs.sinder import training
from ttr_backbones.repairs.sinder.neighbourhood import (
    DefectRule,
    cosines,
    neighbourhood_loss,
    neighbourhood_means,
)
from ttr_backbones.repairs.sinder.pass_to_defects import PassToDefects
from ttr_backbones.repairs.sinder.singular_values import Decomposition, matrices
from ttr_backbones.repairs.sinder.trained_matrix import TrainedMatrix
from ttr_backbones.vits.create import create_vit

PLANTED = {
    "direction": "empirical",
    "rule": "cosine",
    "threshold": 0.7,
    "border": True,
    "minimum": 1,
    "batch_size": 10,
}


def test_detection__four_deviations_flag_a_twentieth_and_can_flag_no_tenth():
    angles = torch.full((2, 10, 10), 0.1)
    angles[0, 1:6, 3] = angles[1, 1:9, 3] = angles[1, 4, 5:7] = 0.9
    defects = angles > 0.5
    assert DefectRule().largest_share == pytest.approx(1 / 17)
    found = DefectRule(border=True)(angles)
    assert torch.equal(found[0], defects[0])
    assert not found[1].any(), "a tenth"
    for rule, threshold in (("mad", 10.0), ("cosine", 0.7)):
        detection = DefectRule(rule, threshold, border=True)
        assert torch.equal(detection(angles), defects)
        assert detection.largest_share == 1
    at_border = angles.transpose(1, 2).flip(1).roll(-1, dims=2)  # the first column has defects
    assert DefectRule(border=True)(at_border)[0, :, 0].sum() == 1
    assert not DefectRule()(at_border)[:, :, [0, -1]].any()
    assert DefectRule()(at_border)[0].sum() == 4


def test_target_and_loss__by_hand():
    generator = torch.Generator().manual_seed(0)
    maps = torch.randn(2, 5, 6, 7, generator=generator)
    direction = F.normalize(torch.randn(7, generator=generator), dim=0)
    angles = cosines(maps, direction)
    means = neighbourhood_means(maps, angles)
    gaussian = torch.tensor([[1, 2, 1], [2, 4, 2], [1, 2, 1]]) / 16
    for row, column in ((1, 1), (3, 4), (0, 0), (4, 2)):  # the last two at the border
        rows, columns = (
            range(max(row - 1, 0), min(row + 2, 5)),
            range(max(column - 1, 0), column + 2),
        )
        weights, total = 0, torch.zeros(7)
        for r in rows:
            for c in columns:
                near = F.cosine_similarity(maps[1, r, c], direction, dim=0).abs()
                weight = math.exp(-near / 0.1) * gaussian[r - row + 1, c - column + 1]
                weights, total = weights + weight, total + weight * maps[1, r, c]
        torch.testing.assert_close(means[1, row, column], total / weights, rtol=1e-4, atol=1e-5)

    defects = torch.zeros(2, 5, 6, dtype=torch.bool)
    defects[1, 1, 1] = defects[1, 3, 4] = True
    off = [(maps[1, r, c] - means[1, r, c]).norm() for r, c in ((1, 1), (3, 4))]
    norms = maps.norm(dim=-1)
    loss = neighbourhood_loss(maps, means, defects, border=False)
    assert loss[0] == 0
    torch.testing.assert_close(loss[1], sum(off) / 2 / norms[1, 1:-1, 1:-1].mean())
    loss = neighbourhood_loss(maps, means, defects, border=True)
    torch.testing.assert_close(loss[1], sum(off) / 2 / norms[1].mean())


@pytest.mark.parametrize("shape", [(6, 6), (6, 20), (20, 6)])
def test_decomposition__adds_what_an_svd_would(shape):
    weight = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    epsilon = torch.linspace(-1, 1, 6)
    u, _, vt = torch.linalg.svd(weight, full_matrices=False)
    found = Decomposition(weight).change(epsilon)
    torch.testing.assert_close(found.float(), u @ epsilon.diag() @ vt, rtol=1e-4, atol=1e-5)


def test_decomposition__equal_values_change_together_and_zeros_do_not():
    """Their vectors are free: what two machines make of them must not count."""
    generator = torch.Generator().manual_seed(0)
    turn = torch.linalg.qr(torch.randn(6, 6, generator=generator).double())[0]
    weight = turn @ torch.tensor([3.0, 2.0, 2.0, 2.0, 0.0, 0.0]).double().diag()
    epsilon = torch.tensor([0.5, 1.0, 2.0, 3.0, 4.0, 5.0])
    expected = turn @ torch.tensor([0.5, 2.0, 2.0, 2.0, 0.0, 0.0]).double().diag()
    torch.testing.assert_close(Decomposition(weight).change(epsilon), expected)


def passing(vit, window=2, minimum=1):
    trained = {name: TrainedMatrix(part) for name, part in matrices(vit).items()}
    generator = torch.Generator().manual_seed(3)
    directions = F.normalize(torch.randn(4, vit.embed_dim, generator=generator), dim=1)
    directions[:2] = 0  # nothing is a defect after the first two blocks
    detection = DefectRule("cosine", 0.4, border=True)
    step = PassToDefects(vit, trained, directions, detection, minimum=minimum, window=window)
    return step, trained, directions.to(vit.cls_token)


@pytest.fixture
def images():
    return torch.randn(3, 3, 96, 64, generator=torch.Generator().manual_seed(2))


@pytest.mark.parametrize("gated", [False, True])
def test_gradient__is_that_of_the_loss_and_within_the_window_only(make_vit, images, gated):
    """Of all epsilons at once, through a second model that forms U diag(S + epsilon) V^T."""
    options = {"mlp_layer": SwiGLUPacked} if gated else {}
    vit = make_vit(init_values=0.5, **options).double()
    step, trained, directions = passing(vit)
    image = images[:1].double()
    seen = step(image)
    ((last, number),) = seen.blocks.items()
    assert number == 1
    moved = {name for name, each in trained.items() if each.epsilon.grad is not None}
    names = {"value": "attn.qkv", "proj": "attn.proj", "fc1": "mlp.fc1", "fc2": "mlp.fc2"}
    assert moved == {f"{block}.{part}" for block in (last - 1, last) for part in names}

    other = make_vit(init_values=0.5, **options).double()
    state, epsilons = dict(other.named_parameters()), {}
    for name in moved:
        block, _, part = name.partition(".")
        key = f"blocks.{block}.{names[part]}.weight"
        whole = state[key].detach()
        rows = whole[64:] if part == "value" else whole
        u, s, vt = torch.linalg.svd(rows, full_matrices=False)
        epsilons[name] = torch.zeros_like(s, requires_grad=True)
        formed = u @ (s + epsilons[name]).diag() @ vt
        state[key] = torch.cat([whole[:64], formed]) if part == "value" else formed
    taken = []
    other.blocks[last].register_forward_hook(lambda _, __, output: taken.append(output))
    torch.func.functional_call(other, state, (image,))
    maps = taken[0][:, 1:].unflatten(1, (6, 4))
    angles = cosines(maps.detach(), directions[last])
    means, defects = neighbourhood_means(maps.detach(), angles), angles > 0.4
    loss = neighbourhood_loss(maps, means, defects, border=True).sum()
    torch.testing.assert_close(seen.loss, loss.detach(), rtol=1e-5, atol=0)
    for name, epsilon in epsilons.items():
        (expected,) = torch.autograd.grad(loss, epsilon, retain_graph=True)
        torch.testing.assert_close(trained[name].epsilon.grad, expected, rtol=1e-3, atol=1e-6)


def test_gradient__of_a_batch_is_the_sum_of_its_images(make_vit, images):
    whole, trained, _ = passing(make_vit(), minimum=3)
    seen = whole(images)
    singly, others, _ = passing(make_vit(), minimum=3)
    each = [singly(image[None]) for image in images]
    torch.testing.assert_close(seen.loss, sum(one.loss for one in each))
    assert seen.blocks == sum((one.blocks for one in each), start=Counter())
    assert seen.skipped == sum(one.skipped for one in each)
    for name, matrix in trained.items():
        expected = others[name].epsilon.grad
        assert (matrix.epsilon.grad is None) == (expected is None)
        if expected is not None:
            torch.testing.assert_close(matrix.epsilon.grad, expected, rtol=1e-4, atol=1e-6)


def last_norms(model):
    options = {"norm": False, "output_fmt": "NLC", "intermediates_only": True}
    return model.vit.forward_intermediates(model.images, [3], **options)[0].norm(dim=-1)


def test_fit__takes_planted_outliers_away_and_leaves_the_rest(planted, monkeypatch):
    monkeypatch.setattr(training, "_RECENT", 40)
    model, steps = planted(places=[(2, 5)]), []
    state = {name: tensor.clone() for name, tensor in model.vit.state_dict().items()}
    artifact = fit_repair(
        "sinder",
        model.vit,
        model.images,
        **PLANTED,
        lr=0.005,
        on_step=lambda *step: steps.append(step),
    )
    assert all(torch.equal(state[name], t) for name, t in model.vit.state_dict().items())
    losses = [loss for _, _, loss in steps]
    assert losses[-1] < 0.9 * losses[0]
    kept = artifact.provenance
    assert kept["stopped"] == "skipped"
    assert kept["images_skipped"] >= 30
    assert kept["first_defects_after_block"].keys() == {"2"}
    assert kept["fit"]["parameters"] == 4 * 4 * 32
    assert kept["fit"]["steps_trained"] == len(steps) < kept["fit"]["steps"] == kept["batches"]
    facts = fit_facts(artifact)
    assert (facts.steps, facts.steps_trained) == (kept["batches"], len(steps))
    assert facts.loss[-1][0] == steps[-1][0] < facts.steps, "the last ones had no defects"
    with torch.no_grad():
        before = last_norms(model)
        features = model.vit.forward_features(model.images)[:, 1:]
        apply_repair(model.vit, artifact)
        after = last_norms(model)
        repaired = model.vit.forward_features(model.images)[:, 1:]
    assert before[model.bright].min() > 150
    assert after[model.bright].max() < 30
    similar = F.cosine_similarity(features, repaired, dim=2)[~model.bright]
    assert similar.min() > 0.99
    changed = {
        name for name, t in model.vit.state_dict().items() if not torch.equal(t, state[name])
    }
    parts = ("attn.qkv", "attn.proj", "mlp.fc1", "mlp.fc2")
    assert changed == {f"blocks.{b}.{part}.weight" for b in range(3) for part in parts}
    for block in range(3):
        name = f"blocks.{block}.attn.qkv.weight"
        assert torch.equal(model.vit.state_dict()[name][:64], state[name][:64]), "queries, keys"


def test_fit__says_why_nothing_or_little_was_trained(planted):
    model = planted(places=[(2, 5)])
    options = PLANTED | {"rule": "std", "threshold": 4.0, "steps": 1}
    many = model.images[model.bright.sum(dim=1) == 4]  # 4 of 36 patches: above 1/17
    with pytest.raises(InputError, match=r"nothing was trained: none of \d images .*rule='cosine'"):
        fit_repair("sinder", model.vit, many, **options)
    with pytest.raises(InputError, match=r"has 37 defects .*take direction='block'"):
        fit_repair("sinder", model.vit, model.images, **PLANTED | {"minimum": 37, "steps": 1})
    border = PLANTED | {"border": False, "steps": 1}
    with pytest.warns(UserWarning, match=r"of 10 images have 1 defects only with the outermost"):
        fit_repair("sinder", model.vit, model.images, **border)
    with pytest.raises(InputError, match=r"50 steps in a row: the training diverged.* lr=1e\+38"):
        fit_repair("sinder", model.vit, model.images, **PLANTED, lr=1e38, steps=200)
    model.images[3, 0, 0, 0] = torch.nan
    with pytest.raises(InputError, match="NaN or infinite"):
        fit_repair("sinder", model.vit, model.images, **PLANTED | {"direction": "block"})


def test_fit__a_stream_is_read_once(planted):
    model = planted(places=[(2, 5)])
    stream = (image for image in model.images)
    options = PLANTED | {"direction": "random", "threshold": 0.3, "batch_size": 5}
    artifact = fit_repair("sinder", model.vit, stream, **options)
    assert artifact.provenance["stopped"] == "images"
    assert artifact.provenance["batches"] == 2


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"rule": "sdt"}, "unknown rule 'sdt'. Did you mean 'std'"),
        ({"threshold": 0.0}, r"threshold=0\.0 with rule='std': expected one above 0"),
        ({"rule": "cosine", "threshold": 1.0}, "expected one between 0 and 1"),
        ({"minimum": 0}, "minimum=0: expected a number above 0"),
        ({"window": 0}, "window=0"),
        ({"steps": 0}, "steps=0"),
        ({"lr": 0.0}, "expected lr > 0"),
        ({"direction": "mean"}, "unknown direction 'mean'"),
    ],
)
def test_bad_options_are_explained(make_vit, images, options, message):
    with pytest.raises(InputError, match=message):
        fit_repair("sinder", make_vit(), images, **options)


def test_bad_artifacts_are_explained(make_vit):
    for tensors, message in (
        ({"blocks": torch.zeros(3)}, "this one has 'blocks'"),
        ({"1.value": torch.zeros(3, 3)}, r"'1.value' \(3, 3\)"),
        ({"1.value": torch.zeros(3)}, "changes of 3 singular values, the model has 32 singular"),
        ({"9.value": torch.zeros(3)}, "the model has no such matrix"),
    ):
        with pytest.raises(InputError, match=message):
            apply_repair(make_vit(), Artifact("sinder", "", tensors))


def test_loading_weights__takes_its_own_or_the_original_ones(make_vit, images):
    vit = make_vit()
    artifact = Artifact("sinder", "", {"1.fc2": torch.full((32,), 0.1)})
    apply_repair(vit, artifact)
    expected = vit(images[:, :, :64])
    for state in (vit.state_dict(), make_vit().state_dict()):
        vit.load_state_dict({name: tensor.clone() for name, tensor in state.items()})
        assert torch.equal(vit(images[:, :, :64]), expected)
    with pytest.raises(RuntimeError, match=r"blocks.1.mlp.fc2.weight: a repair has replaced"):
        vit.load_state_dict(make_vit(seed=1).state_dict())


def test_the_released_file__is_a_plain_dinov2_state_dict(tmp_path):
    """`model.pt` of the authors: DINOv2's names, with a SwiGLU of w12 and w3."""
    small = {"embed_dim": 32, "depth": 2, "num_heads": 2, "img_size": 56, "init_values": 1.0}
    name = "vit_giant_patch14_dinov2.lvd142m"
    torch.manual_seed(0)
    vit = create_vit(name, model_kwargs=small)
    released = {"mask_token": torch.zeros(1, 32)}
    for key, tensor in vit.state_dict().items():
        released[key.replace("mlp.fc1", "mlp.w12").replace("mlp.fc2", "mlp.w3")] = tensor
    torch.save(released, tmp_path / "model.pt")
    torch.manual_seed(1)
    loaded = create_vit(name, checkpoint=tmp_path / "model.pt", model_kwargs=small)
    assert all(torch.equal(vit.state_dict()[k], t) for k, t in loaded.state_dict().items())
