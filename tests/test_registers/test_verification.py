"""Verification against planted truth, and against the same numbers computed by hand."""

import copy
import dataclasses
import math

import pytest
import torch
from torch.nn import functional as F

from ttr_backbones.errors import InputError
from ttr_backbones.registers import (
    NoOutliersError,
    RegisterNeurons,
    add_test_time_registers,
    has_test_time_registers,
)
from ttr_backbones.registers.verification import Bounds, has_classifier, verify_neurons


def listed(planted, places=None):
    layers = {}
    for block, unit in planted.neurons if places is None else places:
        layers.setdefault(block, []).append(unit)
    return RegisterNeurons("", layers)


@pytest.fixture
def truth(planted):
    """Two units of block 1 fire on the bright patches."""
    return planted(places=[(1, 7), (1, 30)])


def test_verify__planted_neurons_pass(truth):
    seen = verify_neurons(truth.vit, listed(truth), truth.images)
    assert seen.outliers_before == pytest.approx(truth.bright.float().mean().item())
    assert seen.outliers_after == seen.remaining == 0
    assert seen.largest_before > seen.threshold > seen.largest_after
    assert seen.register_norm > seen.threshold
    assert (seen.num, seen.num_images, seen.num_patches) == (1, 10, truth.bright.numel())
    loose = dataclasses.replace(seen, bounds=Bounds(cosine=0.5, top1_agreement=0.1))
    assert loose.passed
    assert loose.checks == {"remaining": True, "cosine": True, "top1_agreement": True}


def test_verify__other_neurons_fail(truth):
    seen = verify_neurons(truth.vit, listed(truth, [(1, 8), (2, 9)]), truth.images)
    assert seen.remaining == 1
    assert not seen.checks["remaining"]
    assert not seen.passed


def test_verify__half_of_the_neurons(truth):
    seen = verify_neurons(truth.vit, listed(truth, [(1, 7)]), truth.images)
    assert seen.remaining == 1  # the other unit still fires on the same patches


@torch.no_grad()
def test_verify__numbers_by_hand(truth):
    block, threshold = 2, 60.0
    seen = verify_neurons(
        truth.vit, listed(truth), truth.images, threshold=threshold, detect_block=block - 4
    )
    with_register = add_test_time_registers(copy.deepcopy(truth.vit), listed(truth))
    tokens = []
    for vit in (truth.vit, with_register):
        handle = vit.blocks[block].register_forward_hook(lambda _, __, out: tokens.append(out))
        vit.forward_features(truth.images)
        handle.remove()
    before, after = tokens[0][:, 1:].norm(dim=2), tokens[1][:, 2:].norm(dim=2)
    assert seen.detect_block == block
    assert seen.outliers_before == pytest.approx((before > threshold).float().mean().item())
    assert seen.outliers_after == pytest.approx((after > threshold).float().mean().item())
    assert seen.largest_before == pytest.approx(before.max().item())
    assert seen.largest_after == pytest.approx(after.max().item())
    assert seen.register_norm == pytest.approx(tokens[1][:, 1].norm(dim=1).mean().item())
    features = truth.vit.forward_features(truth.images)[:, 1:]
    moved = with_register.forward_features(truth.images)[:, 1:]
    clean = F.cosine_similarity(features, moved, dim=2)[before <= threshold]
    assert seen.cosine == pytest.approx(clean.mean().item(), rel=1e-5)
    classes = [vit(truth.images).argmax(dim=1) for vit in (truth.vit, with_register)]
    assert seen.top1_agreement == pytest.approx((classes[0] == classes[1]).float().mean().item())


def test_verify__does_not_depend_on_batches(truth):
    one, other = (
        verify_neurons(truth.vit, listed(truth), truth.images, batch_size=size) for size in (1, 7)
    )
    for field in dataclasses.fields(one):
        if field.name != "bounds":
            expected = pytest.approx(getattr(other, field.name), rel=1e-4)
            assert getattr(one, field.name) == expected, field.name


def test_verify__leaves_the_model_as_it_is(truth):
    before = truth.vit(truth.images)
    verify_neurons(truth.vit, listed(truth), truth.images)
    assert torch.equal(truth.vit(truth.images), before)


def test_verify__leaves_the_model_as_it_is_after_an_error(truth, monkeypatch):
    monkeypatch.setattr(type(truth.vit), "forward_head", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        verify_neurons(truth.vit, listed(truth), truth.images, threshold=60.0, detect_block=-1)
    assert not has_test_time_registers(truth.vit)


@pytest.mark.parametrize("cls", [True, False])
@pytest.mark.parametrize("num", [0, 1, 3])
def test_verify__any_number_of_registers(planted, num, cls):
    truth = planted(places=[(1, 7)], cls=cls)
    seen = verify_neurons(truth.vit, listed(truth), truth.images, num=num)
    assert seen.remaining == 0
    assert math.isnan(seen.register_norm) == (num == 0)


def test_verify__a_model_without_outliers(make_vit):
    images = torch.randn(8, 3, 64, 64)
    with pytest.raises(NoOutliersError):
        verify_neurons(make_vit(), RegisterNeurons("", {1: [3]}), images)


def test_verify__images_without_outliers(truth):
    clean = truth.images[~truth.bright.any(dim=1)]
    with pytest.raises(NoOutliersError, match=r"none of 2 images .* nothing to verify"):
        verify_neurons(truth.vit, listed(truth), clean, threshold=60.0, detect_block=-1)


def test_verify__wrong_arguments(truth):
    with pytest.raises(InputError, match="threshold and detect_block together"):
        verify_neurons(truth.vit, listed(truth), truth.images, threshold=60.0)
    with pytest.raises(InputError, match=r"detect_block=4: the model has blocks 0\.\.3"):
        verify_neurons(truth.vit, listed(truth), truth.images, threshold=60.0, detect_block=4)
    with pytest.raises(InputError, match=r"finding the threshold .* only once"):
        verify_neurons(truth.vit, listed(truth), iter(truth.images))
    with pytest.raises(InputError, match="unit 999 of block 1 does not exist"):
        verify_neurons(truth.vit, listed(truth, [(1, 999)]), truth.images)


def test_verify__no_classifier(planted):
    truth = planted(places=[(1, 7)], num_classes=0)
    seen = verify_neurons(truth.vit, listed(truth), truth.images)
    assert seen.top1_agreement is None
    assert "top1_agreement" not in seen.checks


@pytest.mark.parametrize(
    ("architecture", "tag", "classes", "expected"),
    [
        ("vit_tiny_patch16_224", "augreg_in21k_ft_in1k", 1000, True),
        ("vit_base_patch16_clip_224", "laion2b", 512, False),
        ("vit_base_patch16_clip_224", "laion2b_ft_in1k", 1000, True),
        ("vit_base_patch14_dinov2", "lvd142m", 0, False),
    ],
)
def test_has_classifier(make_vit, architecture, tag, classes, expected):
    vit = make_vit(num_classes=classes)
    vit.pretrained_cfg = {"architecture": architecture, "tag": tag}
    assert has_classifier(vit) == expected
