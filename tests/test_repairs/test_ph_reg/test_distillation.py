"""Teacher, loss, what is trained, and a short fit."""

from __future__ import annotations

import pytest
import torch

from ttr_backbones.errors import InputError
from ttr_backbones.registers import RegisterNeurons, add_test_time_registers
from ttr_backbones.repairs import apply_repair, fit_repair
from ttr_backbones.repairs.ph_reg import Distillation
from ttr_backbones.repairs.ph_reg.loss import distillation_loss
from ttr_backbones.repairs.ph_reg.repair import learning_rates
from ttr_backbones.repairs.ph_reg.target_cache import TargetCache
from ttr_backbones.repairs.ph_reg.teacher import Teacher
from ttr_backbones.vits.class_swap import sharing_copy
from ttr_backbones.vits.learned_registers import add_learned_registers
from ttr_backbones.vits.weights_hash import weights_hash

SMALL = {"registers": 2, "views": 3, "shift": 0.3}


@pytest.fixture
def images():
    return torch.randn(4, 3, 64, 64, generator=torch.Generator().manual_seed(2))


def patches(vit, images):
    return vit.forward_features(images)[:, vit.num_prefix_tokens :].detach()


def test_loss__by_hand():
    features = torch.tensor([[[3.0, 4.0], [1.0, 0.0]]])
    targets = torch.tensor([[[3.0, 4.0], [0.0, 1.0]]])
    loss = distillation_loss(features, targets)
    assert loss.cosine.item() == pytest.approx(0.5)  # 1 - (1 + 0) / 2
    assert loss.mse.item() == pytest.approx(0.5)  # (0 + 0 + 1 + 1) / 4
    assert loss.total.item() == pytest.approx(1.0)
    assert distillation_loss(targets, targets).total.item() == pytest.approx(0, abs=1e-6)


def test_teacher__a_batch_equals_single_images_and_a_model_of_one_view_is_the_model(
    make_vit, images
):
    vit = make_vit()
    teacher = Teacher(vit, views=4, shift=0.3)
    singles = torch.cat([teacher(image[None]) for image in images])
    torch.testing.assert_close(teacher(images), singles, rtol=1e-5, atol=1e-5)
    assert not torch.equal(teacher(images, turn=1), teacher(images))
    torch.testing.assert_close(Teacher(vit, views=1)(images), patches(vit, images))


def test_teacher__test_time_is_one_pass_with_a_register(make_vit, images):
    neurons = RegisterNeurons("", {1: [3], 2: [11]})
    vit = make_vit()
    neurons = RegisterNeurons("", neurons.layers, {"num_registers": 1, "options": {"scale": 2.0}})
    teacher = Teacher(vit, kind="test_time", neurons=neurons)
    targets = teacher(images)
    expected = patches(add_test_time_registers(make_vit(), neurons, scale=2.0), images)
    assert teacher.describe()["options"] == {"num": 1, "scale": 2.0}, "other targets, other name"
    assert torch.equal(targets, expected)
    assert type(vit) is type(make_vit()), "changed"


def test_teacher__what_it_cannot_be_is_explained(make_vit, images):
    vit = make_vit()
    for options, message in (
        ({"kind": "ema"}, "teacher='ema': expected 'tta' or 'test_time'"),
        ({"kind": "test_time"}, "needs `neurons`"),
        ({"views": 0}, "views=0"),
        ({"fill": "grey"}, "fill='grey'"),
    ):
        with pytest.raises(InputError, match=message):
            Teacher(vit, **options)
    with pytest.raises(InputError, match="of 64 x 60 pixels cannot be shifted by whole patches"):
        Teacher(vit)(images[:, :, :, :60])


def test_target_cache__makes_each_target_once(make_vit, images, tmp_path, monkeypatch):
    vit = make_vit()
    teacher = Teacher(vit, views=3)
    cache = TargetCache(tmp_path, teacher)
    expected = teacher(images)
    assert torch.equal(cache(images[:3]), expected[:3])
    assert torch.equal(cache(images[1:]), expected[1:])
    assert TargetCache(tmp_path, Teacher(vit, views=4)).folder != cache.folder
    monkeypatch.setattr(Teacher, "__call__", None)
    assert torch.equal(
        TargetCache(tmp_path, Teacher(vit, views=3))(images.flip(0)), expected.flip(0)
    )
    file = next(cache.folder.iterdir())
    file.write_bytes(b"torn")
    with pytest.raises(InputError, match=r"is no target of a teacher .*: delete it"):
        cache(images)


@pytest.mark.parametrize("blocks", [1, 2])
def test_only_what_is_listed_is_trained(make_vit, images, blocks):
    vit = make_vit()
    state = {name: tensor.clone() for name, tensor in vit.state_dict().items()}
    artifact = fit_repair(
        "ph_reg", vit, images, epochs=1, unlock_blocks=blocks, lr=1e-2, final_lr=1e-2, **SMALL
    )
    last = [f"blocks.{i}." for i in range(4 - blocks, 4)]
    listed = {n for n in state if n.startswith(("patch_embed.proj.", "pos_embed", *last))}
    assert artifact.tensors.keys() == {"registers", *listed}
    assert artifact.tensors["registers"].shape == (2, 32)
    assert all(torch.equal(state[name], tensor) for name, tensor in vit.state_dict().items())
    assert all(parameter.requires_grad and parameter.grad is None for parameter in vit.parameters())
    moved = {name for name in listed if not torch.equal(artifact.tensors[name], state[name])}
    assert moved == listed
    fit = artifact.provenance["fit"]
    assert fit["parameters"] == sum(t.numel() for t in artifact.tensors.values())
    assert (fit["steps"], fit["images_seen"]) == (1, 4)


def test_fit__lowers_the_loss_and_is_the_same_again_and_with_a_cache(make_vit, images, tmp_path):
    told = []
    options = {"epochs": 12, "lr": 3e-3, "final_lr": 1e-3, "batch_size": 2, **SMALL}
    cached = fit_repair(
        "ph_reg", make_vit(), images, cache=tmp_path, on_step=lambda *s: told.append(s), **options
    )
    losses = [loss for _, _, loss in told]
    assert [step for step, _, _ in told] == list(range(1, 25))
    assert sum(losses[-2:]) < 0.6 * sum(losses[:2])
    again = fit_repair("ph_reg", make_vit(), images, cache=tmp_path, **options)
    assert again.sha256 == cached.sha256
    distillation = Distillation(make_vit(), **SMALL)
    before = distillation.loss(images).total
    vit = apply_repair(make_vit(), cached)
    targets = distillation.targets(images)
    assert distillation_loss(patches(vit, images), targets).total < 0.6 * before


def test_fit__clip_learns_from_naclip_behind_the_projection(make_vit, images):
    vit = make_vit(init_values=None, pre_norm=True, num_classes=6)
    torch.nn.init.zeros_(vit.head.bias)
    distillation = Distillation(vit, last_block="value", **SMALL)
    assert distillation.targets(images).shape == (4, 16, 6)
    artifact = fit_repair("ph_reg", vit, images, epochs=1, last_block="value", **SMALL)
    repaired = apply_repair(sharing_copy(vit), artifact)
    student = Distillation(vit, last_block="value", **SMALL).student
    assert repaired.forward_features(images).shape == student.forward_features(images).shape
    assert type(repaired.blocks[-1]).__name__ == "BlockDenseLastBlock"


@torch.no_grad()
def test_teacher__naclip_s_window_is_that_of_the_grid(make_vit):
    """On a wide image, by hand: softmax(k k^T / sqrt d + window) v, without residual and MLP."""
    vit = make_vit(init_values=None, pre_norm=True, num_classes=6)
    torch.nn.init.zeros_(vit.head.bias)
    images = torch.randn(2, 3, 48, 96)
    tokens = vit.norm_pre(vit._pos_embed(vit.patch_embed(images)))
    for block in vit.blocks[:-1]:
        tokens = block(tokens)
    last = vit.blocks[-1]
    qkv = last.attn.qkv(last.norm1(tokens)).unflatten(2, (3, 2, 16)).permute(2, 0, 3, 1, 4)
    places = torch.cartesian_prod(torch.arange(3.0), torch.arange(6.0))
    window = torch.zeros(19, 19)
    window[1:, 1:] = (-torch.cdist(places, places).square() / 50).exp()
    weights = (qkv[1] @ qkv[1].transpose(2, 3) / 4 + window).softmax(dim=3)
    out = last.attn.proj((weights @ qkv[2]).transpose(1, 2).flatten(2))
    expected = vit.head(vit.norm(out)[:, 1:])
    found = Teacher(vit, views=1, naclip=True)(images)
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)
    assert Teacher(vit, views=3, naclip=True)(images).shape == expected.shape


def test_a_student_that_has_learned_nothing_is_the_model_with_random_registers(make_vit, images):
    distillation = Distillation(make_vit(), seed=5, **SMALL)
    vit = make_vit()
    add_learned_registers(vit, distillation.student.learned_registers.detach())
    assert torch.equal(patches(distillation.student, images), patches(vit, images))
    assert distillation.artifact().provenance["weights_sha256"] == weights_hash(make_vit())
    assert distillation.num_trained == sum(p.numel() for p in distillation.trained.values())


def test_bf16_is_near_float32_and_keeps_float32_weights(make_vit, images):
    losses = [
        Distillation(make_vit(), bf16=bf16, **SMALL).loss(images).total for bf16 in (False, True)
    ]
    assert losses[0] != losses[1]
    torch.testing.assert_close(*losses, rtol=0.05, atol=0)
    assert {p.dtype for p in Distillation(make_vit(), bf16=True).trained.values()} == {
        torch.float32
    }


def test_learning_rates_fall_by_one_factor_to_the_last():
    rates = list(learning_rates(1e-4, 5e-6, 100))
    assert rates[0] == pytest.approx(1e-4 * 0.05**0.01)
    assert rates[-1] == pytest.approx(5e-6)
    assert rates[1] / rates[0] == pytest.approx(rates[60] / rates[59])


def test_bad_options_are_explained(make_vit, images):
    for options, message in (
        ({"registers": 0}, "registers=0"),
        ({"unlock_blocks": 5}, r"unlock_blocks=5: expected 1\.\.4"),
        ({"last_block": "naclip"}, "last_block='naclip': expected 'own' or 'value'"),
        ({"epochs": 0}, "epochs=0: expected a number above 0"),
        ({"lr": -1.0}, "lr=-1.0"),
    ):
        with pytest.raises(InputError, match=message):
            fit_repair("ph_reg", make_vit(), images, **options)
    with pytest.raises(InputError, match="training has to go over the images again"):
        fit_repair("ph_reg", make_vit(), iter(images))
