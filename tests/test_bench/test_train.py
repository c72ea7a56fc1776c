"""`ttrb bench train`: all contestants train the same head, some of them several."""

import pytest
import torch

from ttr_backbones.bench.contestants import BARE, TOKEN
from ttr_backbones.bench.train import PLAIN, bench_train, make_trainings
from ttr_backbones.bench.training import TrainSetting, random_batch
from ttr_backbones.bench.variants import VARIANTS
from ttr_backbones.errors import InputError
from ttr_backbones.registers import RegisterNeurons

SETTING = TrainSetting(size=64, num_classes=7)
CPU = torch.device("cpu")
MANY = "ours, 3 heads in one pass"
STRIDED = f"{MANY}, loss_stride=2"


@pytest.fixture
def trainings(backbone, layers):
    batch = random_batch(SETTING, 2, CPU)
    return make_trainings(
        backbone, RegisterNeurons("", layers), VARIANTS["eager"], SETTING, batch, 3
    )


def test_trainings__ours_goes_as_plain_timm_with_mmsegs_loss(trainings):
    """The same losses over five steps, so also the same gradients and heads."""
    for _ in range(5):
        plain, ours = (trainings[name].step() for name in (PLAIN, BARE))
        torch.testing.assert_close(ours["loss"], plain["loss"], rtol=1e-4, atol=1e-5)
    assert ours["loss"] < 0.95 * 1.95, "of log 7 = 1.95 at first"


def test_trainings__many_heads_are_each_what_one_is(trainings):
    for _ in range(3):
        one, many = trainings[BARE].step(), trainings[MANY].step()
        torch.testing.assert_close(many["loss"], 3 * one["loss"], rtol=1e-4, atol=1e-5)


def test_trainings__a_register_changes_the_maps(trainings, images):
    (plain,), (bare,), (token,) = (
        trainings[name].model.backbone(images) for name in (PLAIN, BARE, TOKEN)
    )
    torch.testing.assert_close(bare, plain, atol=1e-6, rtol=1e-6)
    assert (token - bare).abs().max() > 1e-3


@pytest.mark.parametrize("name", [PLAIN, BARE, TOKEN, MANY, STRIDED])
def test_trainings__train_the_heads_alone(trainings, name):
    model = trainings[name].model
    trained = [n for n, parameter in model.named_parameters() if parameter.requires_grad]
    assert trained
    assert all(n.startswith("decode_head.") for n in trained)
    assert not model.backbone.training


def test_training__holds_the_moments_and_the_batch(trainings):
    training = trainings[BARE]
    before = len(training.held)
    training.step()
    # AdamW: a step, a mean and a mean square for each of the head's four tensors.
    assert len(training.held) == before + 3 * 4
    assert training.held[-1].shape == (1, 64, 64)


def test_bench_train__a_row_for_every_contestant(benched):
    measured = bench_train(
        benched,
        setting=SETTING,
        heads=3,
        batch_sizes=(2,),
        variants=[VARIANTS["eager"], VARIANTS["bf16"]],
        rounds=1,
    )
    one_by_one = "ours, 3 heads one by one"
    against = dict.fromkeys((PLAIN, BARE, TOKEN), PLAIN)
    against |= dict.fromkeys((MANY, STRIDED, one_by_one), BARE)
    assert {row.contestant: row.against for row in measured.rows} == against
    assert [row.variant for row in measured.rows] == ["eager"] * 6 + ["bf16"] * 6
    assert all(row.goal is None for row in measured.rows), "the goal is one of eight heads"
    assert all(
        row.tokens_per_second == pytest.approx(16 * row.images_per_second) for row in measured.rows
    )
    losses = measured.facts["first_loss"]
    assert losses[BARE] == pytest.approx(losses[MANY], rel=1e-4)
    peaks = {row.contestant: row.peak_bytes for row in measured.rows if row.variant == "eager"}
    assert peaks[BARE] < peaks[PLAIN], "logits at full size"
    assert peaks[BARE] < peaks[MANY]


def test_bench_train__needs_several_heads(benched):
    with pytest.raises(InputError, match="heads=1: expected at least 2"):
        bench_train(benched, heads=1)
