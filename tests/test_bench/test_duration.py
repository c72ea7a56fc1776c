"""What the bench says of its own time, by hand."""

import pytest
import torch

from ttr_backbones.bench import duration as duration_module
from ttr_backbones.bench.duration import Duration
from ttr_backbones.bench.variants import VARIANTS

EAGER, BF16, COMPILED = (VARIANTS[name] for name in ("eager", "bf16", "compiled"))


def test_duration__by_hand():
    """2 s a pass, 4 untimed and 3 rounds: 14 s each way; 20 s more to compile; twice the images."""
    ratios = [1.0, 1.0, 4.0]
    duration = Duration({EAGER: 2.0, COMPILED: 2.0}, ratios, [1], 3)
    assert duration.seconds(EAGER) == 6 * 14
    assert duration.seconds(COMPILED) == 6 * 14 + 3 * 20
    assert Duration({EAGER: 2.0}, ratios, [1, 2], 3).seconds(EAGER) == 6 * (14 + 28)
    assert duration.sentence([EAGER]) == "about 2 min for 3 contestants"
    said = "about 4 min for 3 contestants, about 3 min of it for compiled (see --variants)"
    assert duration.sentence([EAGER, COMPILED]) == said


@pytest.mark.parametrize(
    ("limit", "kept"), [(1, [EAGER]), (100, [EAGER, COMPILED]), (10_000, [EAGER, BF16, COMPILED])]
)
def test_fitting__the_first_stays_and_each_that_fits(limit, kept):
    duration = Duration({EAGER: 0.1, BF16: 50.0, COMPILED: 0.1}, [1.0], [1], 3)
    fitting, notes = duration.fitting(limit)
    assert fitting == kept
    assert ["bf16" in note for note in notes] == [True] * (BF16 not in kept) + [False] * (
        COMPILED not in kept
    )


def test_measure__each_variant_and_a_compiled_one_is_not_compiled(monkeypatch):
    def refuse(*_, **__):
        raise AssertionError("compiled")

    monkeypatch.setattr(torch, "compile", refuse)
    model = torch.nn.Conv2d(3, 2, 1)
    image = torch.ones(1, 3, 4, 4)
    duration = Duration.measure({"plain": model}, [EAGER, BF16, COMPILED], image, [1], 3)
    assert list(duration.per_image) == [EAGER, BF16, COMPILED]
    assert all(seconds > 0 for seconds in duration.per_image.values())


def test_measure__a_contestant_that_runs_the_model_often_takes_as_often(monkeypatch):
    class Often(torch.nn.Module):
        def __init__(self, times):
            super().__init__()
            self.times = times

    monkeypatch.setattr(
        duration_module,
        "seconds_per_image",
        lambda model, *_: 0.5 * model.times,
    )
    models = {"plain": Often(1), "averaged": Often(13)}
    duration = Duration.measure(models, [BF16], torch.ones(1, 3, 4, 4), [8], 3)
    assert duration == Duration({BF16: 0.5}, [1.0, 13.0], [8], 3)
