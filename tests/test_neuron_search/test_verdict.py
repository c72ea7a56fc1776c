"""What the verdict says, word for word."""

from ttr_backbones.neuron_search.selection import Trial
from ttr_backbones.neuron_search.verdict import passes, verdict

RANDOM = {"outliers": 0.02, "cosine": 0.997}
ZEROED = {"outliers": 0.0, "cosine": 0.883}
SOLVED = Trial(((7, 417), (6, 189)), 1, 0.02, 0.0, 0.982, "ranking")


def test_verdict__success():
    assert passes(SOLVED, RANDOM)
    assert verdict(SOLVED, RANDOM, ZEROED, 10) == (
        "2 neurons of blocks 6 and 7 carry the outliers: moved to one register, outliers in 10 "
        "held-out images fall from 2.0 % to 0 % of the patches, and the other patches keep a "
        "cosine of 0.982 to what they were. As many random neurons of the same blocks leave 100 % "
        "of the outliers. Only clearing the neurons, without a register, leaves 0 % of them, with "
        "a cosine of 0.883."
    )


def test_verdict__failure():
    failed = Trial(((7, 417),), 3, 0.02, 0.00999, 0.4, "registers")
    assert not passes(failed, RANDOM)
    assert verdict(failed, RANDOM, ZEROED, 1).startswith(
        "Failed: no set of neurons that was tried takes the outliers away. The best, 1 neuron of "
        "block 7, leaves 50.0 % of them: moved to 3 registers, outliers in 1 held-out image fall "
        "from 2.0 % to 1.0 % of the patches"
    )


def test_verdict__neurons_that_are_not_special_do_not_pass():
    random = {"outliers": 0.001, "cosine": 0.9}
    assert not passes(SOLVED, random)
    assert "leave 5.0 % of the outliers: failed, as it does not take these" in verdict(
        SOLVED, random, ZEROED, 10
    )


def test_verdict__rounds_nothing_to_none_or_all():
    little = Trial(((7, 417),), 1, 0.02, 0.0000012, 0.4, "ranking")
    random = {"outliers": 0.0199999, "cosine": 0.9}
    text = verdict(little, random, ZEROED, 10)
    assert "to 0.0001 % of the patches" in text
    assert "leave 99.9995 % of the outliers" in text
