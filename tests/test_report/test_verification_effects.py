"""A verification as columns and words, from known numbers."""

import dataclasses

from ttr_backbones.neuron_search.references import Change, Excess
from ttr_backbones.neuron_search.verification import Verification
from ttr_backbones.report.effects_text import effects_report
from ttr_backbones.report.verification_effects import (
    TITLES,
    verification_effects,
    verification_words,
)

SEEN = Verification(
    num=2,
    num_images=1,
    num_patches=10**6,
    detect_block=3,
    threshold=50.0,
    outliers_before=0.02,
    outliers_after=0.000001,
    largest_before=500.0,
    largest_after=70.0,
    register_norm=321.0,
    cosine=0.89,
    top1_agreement=None,
    references={
        "shifted": Change(0.02, 501.0, 0.95, 1.0),
        "cleared": Change(0.0, 60.0, 0.9, 1.0),
        "random": Change(0.005, 499.0, 0.99, 1.0),
    },
    excess={"cosine": {"shifted": Excess(0.05, 0.01), "cleared": Excess(0.06, 0.01)}},
)


def test_report__table_and_verdict():
    shown = effects_report(
        verification_effects(SEEN, (28, 42)), {}, TITLES, [verification_words(SEEN)]
    )
    table, verdict = shown.split("\n\n")
    assert table.startswith("1 image of 42 x 28 px; an outlier patch has a norm above 50.0 after")
    assert "direction" not in table, "which was not measured"
    assert "agreement" not in table
    rows = [line.replace(" %", "%").split()[-5:] for line in table.splitlines()]
    assert rows[-4] == ["2%", "0.0001%", "0%", "0.5%", "2%"]
    assert rows[-3] == ["500.0", "70.0", "60.0", "499.0", "501.0"]
    assert rows[-2] == ["1.000", "0.890", "0.900", "0.990", "0.950"]
    assert rows[-1][-3:] == ["2", "0", "2"]
    verdict = " ".join(verdict.split())
    for words in (
        "Removes the outliers: 0.005 % of them stay",
        "The registers have a norm of 321",
        "Random neurons leave 25 % of the outliers (at least 50 % have to stay), so they do it too",
        "1 - cosine: 0.050 ± 0.010 above a shift by a pixel",
        "The model has no classifier",
    ):
        assert words in verdict
    without = dataclasses.replace(SEEN, num=0, register_norm=float("nan"))
    assert "There is no register, which is a control" in verification_words(without)
    assert "nan" not in verification_words(without)
