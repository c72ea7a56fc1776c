"""Planting: the units fire where they should, nothing else changes, one register undoes it."""

import copy

import numpy as np
import pytest
import torch

from ttr_backbones.datasets.scenes import make_scene
from ttr_backbones.demo.planted import (
    BLOCK,
    NORM,
    OUTLIER_NORM,
    SIZE,
    UNITS,
    build_vit,
    plain_patches,
    plant_register_neurons,
)
from ttr_backbones.errors import InputError
from ttr_backbones.registers import add_test_time_registers, token_norms

FRACTION = 0.08


def scene_batch(seed, count):
    rng = np.random.default_rng(seed)
    images = np.stack([make_scene(rng, SIZE).image for _ in range(count)])
    return torch.from_numpy(images).permute(0, 3, 1, 2).float() / 127.5 - 1


@pytest.fixture(scope="module")
def images():
    return scene_batch(0, 40)


@pytest.fixture(scope="module")
def vit():
    return build_vit(0)


@pytest.fixture(scope="module")
def planted(vit, images):
    return plant_register_neurons(vit, images, fraction=FRACTION)


@torch.no_grad()
def last_maps(model, images):
    (last,) = model.forward_intermediates(images, indices=1, norm=False, intermediates_only=True)
    return last


def patch_norms(model, images):
    return token_norms(last_maps(model, images).flatten(2).transpose(1, 2))


def test_same_seed_same_vit_and_global_generator_untouched():
    state = torch.get_rng_state()
    one, two, other = build_vit(4), build_vit(4), build_vit(5)
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.equal(one.blocks[3].mlp.fc1.weight, two.blocks[3].mlp.fc1.weight)
    assert not torch.equal(one.blocks[3].mlp.fc1.weight, other.blocks[3].mlp.fc1.weight)


def test_stated_fraction_of_calibration_patches_fires(planted, images):
    model, neurons = planted
    assert neurons.layers == {BLOCK: UNITS}
    norms = patch_norms(model, images)
    assert (norms > OUTLIER_NORM).float().mean().item() == pytest.approx(FRACTION, abs=0.005)


def test_norms_are_bimodal(planted, images):
    norms = patch_norms(planted[0], images)
    assert norms.max().item() == pytest.approx(NORM, rel=0.1)
    between = (norms > 0.1 * NORM) & (norms < 0.8 * NORM)
    assert between.float().mean() < 0.01


def test_outliers_sit_on_plain_patches(planted, images):
    outliers = patch_norms(planted[0], images) > OUTLIER_NORM
    plain = plain_patches(images).flatten(1)
    assert plain[outliers].float().mean() > 0.8  # the others lie on the horizon, between two plains
    assert plain[~outliers].float().mean() < 0.7


def test_new_images_have_outliers_too_and_the_register_takes_all(planted):
    model, neurons = planted
    new = scene_batch(1, 20)
    assert (patch_norms(model, new) > OUTLIER_NORM).float().mean() > 0.02
    with_register = add_test_time_registers(copy.deepcopy(model), neurons)
    assert not (patch_norms(with_register, new) > OUTLIER_NORM).any()


def test_the_register_gives_back_the_features_before_planting(vit, planted, images):
    model, neurons = planted
    with_register = add_test_time_registers(copy.deepcopy(model), neurons)
    before, after, hurt = (last_maps(m, images) for m in (vit, with_register, model))
    assert (after - before).norm() < 0.1 * before.norm()
    assert (hurt - before).norm() > before.norm()


def test_all_other_weights_are_unchanged_bit_for_bit(vit, planted):
    before, after = vit.state_dict(), planted[0].state_dict()
    assert before.keys() == after.keys()
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    mlp = f"blocks.{BLOCK}.mlp"
    assert changed == {f"{mlp}.fc1.weight", f"{mlp}.fc1.bias", f"{mlp}.fc2.weight"}
    others = [unit for unit in range(before[f"{mlp}.fc1.bias"].numel()) if unit not in UNITS]
    for name, dim in (("fc1.weight", 0), ("fc1.bias", 0), ("fc2.weight", 1)):
        key, index = f"{mlp}.{name}", torch.tensor(others)
        assert torch.equal(
            before[key].index_select(dim, index), after[key].index_select(dim, index)
        )


@pytest.mark.parametrize("fraction", [0.0, 0.5, -1])
def test_a_fraction_out_of_range_is_refused(vit, images, fraction):
    with pytest.raises(InputError, match=rf"expected a value in \(0, 0.5\), got {fraction}"):
        plant_register_neurons(vit, images, fraction=fraction)


def test_images_without_plain_patches_are_refused(vit):
    noise = torch.rand(2, 3, SIZE, SIZE, generator=torch.Generator().manual_seed(0)) * 2 - 1
    with pytest.raises(InputError, match="0 of 200 calibration patches are plain"):
        plant_register_neurons(vit, noise)
