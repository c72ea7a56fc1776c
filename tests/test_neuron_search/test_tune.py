"""Tuning chooses everything by itself: on planted truth, on the real ViT, and where it cannot."""

import copy
import json

import pytest
import torch

from ttr_backbones.errors import InputError
from ttr_backbones.neuron_search.search import NoOutliersError
from ttr_backbones.neuron_search.tune import tune_register_neurons
from ttr_backbones.neuron_search.verification import verify_neurons
from ttr_backbones.registers import add_test_time_registers

# Units of one block, so that none fires only because of another.
PLACES = [(2, 7), (2, 20), (2, 45)]


@pytest.mark.parametrize("swiglu", [False, True], ids=["gelu", "swiglu"])
@pytest.mark.parametrize("cls", [True, False], ids=["cls", "no_cls"])
def test_tune__finds_the_planted_units_and_no_others(planted, swiglu, cls):
    truth = planted(places=PLACES, swiglu=swiglu, cls=cls, num_images=24)
    tuned = tune_register_neurons(truth.vit, truth.images)
    assert tuned.layers == {2: [7, 20, 45]}
    assert tuned.passed
    assert tuned.outliers_after == 0
    assert tuned.outliers_before == pytest.approx(truth.bright[3::4].float().mean().item())
    assert (tuned.num_images, tuned.num_held_out) == (18, 6)
    assert tuned.verdict.startswith(
        "3 neurons of block 2 carry the outliers: moved to one register, outliers in 6 held-out "
        "images fall from "
    )


@pytest.fixture(scope="module")
def search(planted):
    """What is planted, as it was before the search, and what it found; nothing changes them."""
    truth = planted(places=PLACES, num_images=24)
    return truth, tune_register_neurons(truth.vit, truth.images, batch_size=8)


def test_tune__controls_tell_the_neurons_from_others(search):
    _, tuned = search
    assert tuned.controls["random"]["outliers"] == pytest.approx(tuned.outliers_before)
    assert tuned.controls["zeroed"]["outliers"] == 0
    assert "leave 100 % of the outliers" in tuned.verdict


def test_tune__drops_a_unit_that_fires_only_because_of_an_earlier_one(planted):
    truth = planted(places=[(0, 3), (2, 7)], num_images=24)
    tuned = tune_register_neurons(truth.vit, truth.images)
    assert tuned.layers == {0: [3]}


def test_tune__finds_units_of_blocks_far_apart(planted, plant):
    """Bright patches get their norm after block 0, dark ones after block 3."""
    truth = planted(places=[], num_images=24)
    images, dark = truth.images.clone(), truth.bright.roll(7, dims=1) & ~truth.bright
    grid = dark.view(-1, 1, 6, 6).repeat_interleave(16, 2).repeat_interleave(16, 3)
    images -= 4.0 * grid
    plant(truth.vit, 0, 3, images, truth.bright)
    plant(truth.vit, 3, 7, images, dark)
    tuned = tune_register_neurons(truth.vit, images)
    assert tuned.layers == {0: [3], 3: [7]}
    assert tuned.passed


def test_tune__tells_the_curve_that_it_searched(search):
    _, tuned = search
    ranked = {point["k"]: point for point in tuned.curve if point["step"] == "ranking"}
    assert [ranked[k]["outliers"] == 0 for k in (1, 2, 3, 4)] == [False, False, True, True]
    assert {point["num"] for point in tuned.curve} == {1, 2, 3, 4}
    json.dumps([tuned.curve, tuned.controls])


def test_tune__is_deterministic_and_independent_of_the_batch_size(search):
    truth, one = search
    two, three = (
        tune_register_neurons(truth.vit, truth.images, batch_size=size) for size in (8, 5)
    )
    assert (one.curve, one.verdict, one.ranking) == (two.curve, two.verdict, two.ranking)
    assert (one.layers, one.num) == (three.layers, three.num)


def test_tune__agrees_with_verification_on_the_held_out_images(search):
    truth, tuned = search
    seen = verify_neurons(
        truth.vit,
        tuned,
        truth.images[3::4],
        threshold=tuned.threshold,
        detect_block=tuned.detect_block,
        num=tuned.num,
    )
    assert (seen.outliers_before, seen.outliers_after) == (
        tuned.outliers_before,
        tuned.outliers_after,
    )
    assert seen.cosine == pytest.approx(tuned.cosine)


@pytest.mark.parametrize("kwargs", [{}, {"reg_tokens": 4}])
def test_tune__says_that_a_model_has_no_outliers(make_vit, kwargs):
    with pytest.raises(NoOutliersError, match="this model has no outliers: after none of its 4"):
        tune_register_neurons(make_vit(**kwargs), torch.randn(8, 3, 64, 64))


def test_tune__admits_that_no_neuron_writes_the_outliers(planted):
    """Here they come with the patch embedding, which no neuron can undo."""
    truth = planted(places=[], num_images=24)
    loud = truth.images + 400 * (truth.images > 2)
    tuned = tune_register_neurons(truth.vit, loud, max_neurons=4)
    assert not tuned.passed
    assert tuned.verdict.startswith("Failed: no set of neurons that was tried takes the outliers")
    assert tuned.outliers_after == pytest.approx(tuned.outliers_before)


def test_tune__says_that_the_held_out_images_have_no_outliers(planted):
    truth = planted(num_images=20)
    quiet = truth.images[4]  # a fifth image, without a bright patch
    images = torch.stack([quiet if i % 4 == 3 else im for i, im in enumerate(truth.images)])
    with pytest.raises(NoOutliersError, match="none of 5 images has a patch with a norm above"):
        tune_register_neurons(truth.vit, images)


@pytest.mark.parametrize("calls", [None, 1, 4, 8, 20])
def test_tune__leaves_the_model_as_it_came(planted, calls):
    """Also where it is interrupted: in the norms, the ranking, a trial."""
    truth = planted(places=PLACES, num_images=24)
    truth.vit.train()
    truth.vit.blocks[1].eval()
    before = copy.deepcopy(truth.vit)
    left = iter(range(calls)) if calls else None

    def progress(done, total):
        if left is not None and next(left, None) is None:
            raise KeyboardInterrupt

    if calls is None:
        tune_register_neurons(truth.vit, truth.images, progress=progress)
    else:
        with pytest.raises(KeyboardInterrupt):
            tune_register_neurons(truth.vit, truth.images, progress=progress)
    for now, then in zip(truth.vit.modules(), before.modules(), strict=True):
        assert type(now) is type(then)
        assert now.training == then.training
        assert not now._forward_hooks
        assert not now._forward_pre_hooks
    for now, then in zip(truth.vit.parameters(), before.parameters(), strict=True):
        assert torch.equal(now, then)
        assert now.requires_grad == then.requires_grad
        assert now.grad is None


def test_tune__refuses_what_it_cannot_use(planted):
    truth = planted()
    with pytest.raises(InputError, match="only once"):
        tune_register_neurons(truth.vit, (image for image in truth.images))
    with pytest.raises(InputError, match="too few"):
        tune_register_neurons(truth.vit, truth.images[:3])
    with pytest.raises(InputError, match="max_neurons=0: expected at least 1"):
        tune_register_neurons(truth.vit, truth.images, max_neurons=0)
    add_test_time_registers(truth.vit, {0: [1]})
    with pytest.raises(InputError, match="remove them before tuning"):
        tune_register_neurons(truth.vit, truth.images)
