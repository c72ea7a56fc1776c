"""Verification against planted truth, and against the same numbers computed by hand."""

import copy
import dataclasses
import itertools
import math

import pytest
import torch
from torch.nn import functional as F

from ttr_backbones.errors import InputError
from ttr_backbones.neuron_search.references import Excess, shifted
from ttr_backbones.neuron_search.verification import has_classifier, verify_neurons
from ttr_backbones.registers import (
    NoOutliersError,
    RegisterNeurons,
    add_test_time_registers,
    has_test_time_registers,
)


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
    assert seen.references["cleared"].outliers == 0
    assert seen.references["random"].outliers == pytest.approx(seen.outliers_before)
    assert set(seen.checks) == {"remaining", "register", "random", "cosine", "top1_agreement"}
    assert seen.checks["remaining"]
    assert seen.checks["random"]


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


@torch.no_grad()
def test_verify__moves_as_the_list_says(truth):
    """Also the options that say nothing where the neurons are only cleared."""
    options = {"scale": [3.0, 0.5], "peak": "layer"}
    said = RegisterNeurons("", listed(truth).layers, {"options": options})
    plain, seen = (
        verify_neurons(truth.vit, each, truth.images, threshold=60.0, detect_block=3, num=2)
        for each in (listed(truth), said)
    )
    vit = add_test_time_registers(copy.deepcopy(truth.vit), said, num=2, **options)
    features = truth.vit.forward_features(truth.images)[:, 1:]
    cosine = F.cosine_similarity(features, vit.forward_features(truth.images)[:, 1:], dim=2)
    clean = truth.vit.get_intermediate_layers(truth.images, 1)[0].norm(dim=2) <= 60.0
    assert seen.cosine == pytest.approx(cosine[clean].mean().item(), rel=1e-5)
    assert seen.cosine != plain.cosine
    assert seen.references["cleared"] == plain.references["cleared"]
    assert seen.references["random"] != plain.references["random"]


@torch.no_grad()
def test_verify__references_by_hand(truth):
    threshold, images = 60.0, truth.images
    seen = verify_neurons(truth.vit, listed(truth), images, threshold=threshold, detect_block=3)
    plain = truth.vit.forward_features(images)[:, 1:]
    raw = truth.vit.get_intermediate_layers(images, 1)[0].norm(dim=2)
    clean = raw <= threshold

    def cost(vit, images):
        cosines = F.cosine_similarity(plain, vit.forward_features(images)[:, 1:], dim=2)
        return 1 - (cosines * clean).sum(dim=1) / clean.sum(dim=1)

    moved, cleared = (
        add_test_time_registers(copy.deepcopy(truth.vit), listed(truth), num=num) for num in (1, 0)
    )
    right = images.roll((1, 1), dims=(2, 3))
    right[:, :, 0], right[:, :, :, 0] = right[:, :, 1], right[:, :, :, 1]
    right[:, :, 0, 0] = images[:, :, 0, 0]
    assert torch.equal(shifted(images)[:, :, 1:, 1:], images[:, :, :-1, :-1])
    assert torch.equal(shifted(images), right)
    costs = {"shifted": cost(truth.vit, right), "cleared": cost(cleared, images)}
    for name, share in (("shifted", 1.0), ("cleared", 0.5)):
        assert seen.references[name].cosine == pytest.approx(1 - costs[name].mean().item(), 1e-5)
        over = cost(moved, images) - share * costs[name]
        excess = seen.excess["cosine"][name]
        assert excess.mean == pytest.approx(over.mean().item(), abs=1e-5)
        assert excess.error == pytest.approx(over.std().item() / len(over) ** 0.5, abs=1e-5)
    classes = [vit(images).argmax(dim=1) for vit in (truth.vit, cleared)]
    agree = (classes[0] == classes[1]).float().mean().item()
    assert seen.references["cleared"].top1_agreement == pytest.approx(agree)
    alone = verify_neurons(
        truth.vit, listed(truth), images, threshold=threshold, detect_block=3, compare=False
    )
    assert alone.checks == {"remaining": True}
    assert alone.passed


def test_verify__judges_by_the_reference_that_allows_more(truth):
    seen = verify_neurons(truth.vit, listed(truth), truth.images)
    low, high, unsure = Excess(-0.1, 0.01), Excess(0.1, 0.01), Excess(0.1, 0.06)
    for excess, holds in (
        ({"shifted": low, "cleared": high}, True),
        ({"shifted": high, "cleared": low}, True),
        ({"shifted": high, "cleared": high}, False),
        ({"shifted": high, "cleared": unsure}, True),
    ):
        judged = dataclasses.replace(seen, excess={"cosine": excess})
        assert judged.passed == judged.checks["cosine"] == holds
    easy = dataclasses.replace(seen.references["random"], outliers=0.0)
    judged = dataclasses.replace(seen, excess={}, references={"random": easy})
    assert not judged.checks["random"]
    assert not judged.passed


def test_verify__does_not_depend_on_batches(truth):
    one, other = (
        verify_neurons(truth.vit, listed(truth), truth.images, batch_size=size) for size in (1, 7)
    )
    for field in dataclasses.fields(one):
        if field.name not in ("references", "excess"):
            expected = pytest.approx(getattr(other, field.name), rel=1e-4)
            assert getattr(one, field.name) == expected, field.name
    for name, change in one.references.items():
        expected = pytest.approx(dataclasses.astuple(other.references[name]), rel=1e-4)
        assert dataclasses.astuple(change) == expected
    for measure, name in itertools.product(one.excess, ("shifted", "cleared")):
        expected = dataclasses.astuple(other.excess[measure][name])
        given = dataclasses.astuple(one.excess[measure][name])
        assert given == pytest.approx(expected, rel=1e-3, abs=1e-5)


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
    assert seen.checks["register"] == (num > 0), "clearing alone is a control"
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
    ("pre_norm", "classes", "bias", "expected"),
    [
        (False, 1000, 0.0, True),  # an untrained or cleared bias is no sign of a projection
        (True, 512, 0.0, False),  # a CLIP's projection, as timm loads it
        (True, 1000, 0.1, True),  # a CLIP fine-tuned on classes
        (False, 0, None, False),
    ],
)
def test_has_classifier(make_vit, pre_norm, classes, bias, expected):
    vit = make_vit(num_classes=classes, pre_norm=pre_norm)
    if bias is not None:
        has_classifier(vit)  # what is known of a bias holds until it is written to
        torch.nn.init.constant_(vit.head.bias, bias)
    assert has_classifier(vit) == expected
