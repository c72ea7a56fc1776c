"""What a difference and a published number are worth, by hand."""

import pytest

from ttr_backbones.benchmark.forest import forest
from ttr_backbones.benchmark.statistics import PairedDifference, RowResult, _judgement
from ttr_backbones.compare.plan import TableRow
from ttr_backbones.compare.published import Published
from ttr_backbones.evaluation.bootstrap import Interval
from ttr_backbones.tasks import task_named

SEG, DEPTH = (task_named(name).metric for name in ("segmentation", "depth"))
PAPER = Published("47.60 ± 0.15", "TTR paper, Table 13")


def result(difference, metric=SEG):
    row = TableRow("a", "ViT", "task", "test_time", metric, PAPER)
    return RowResult(row, {0: 40.0, 1: 42.0}, 2, 25, Interval(39, 43), difference, "")


def test_difference__verdict_and_images_needed():
    # 2 points, the interval reaches 4 points below: four times the images bring that to 2.
    found = PairedDifference(2.0, Interval(-2.0, 5.0), 25)
    assert not found.is_shown
    assert found.images_needed == 100
    assert result(found).verdict == "not shown"
    lower = PairedDifference(-2.0, Interval(-5.0, 0.0), 25)
    assert not lower.is_shown, "zero at the end is within"
    assert lower.images_needed == 25
    assert PairedDifference(0.0, Interval(-1.0, 1.0), 25).images_needed is None
    shown = PairedDifference(-0.2, Interval(-0.3, -0.1), 25)
    assert result(shown).verdict == "worse"
    assert result(shown, DEPTH).verdict == "better", "a lower error"
    beside = PairedDifference(0.2, Interval(-0.3, -0.1), 25)
    assert result(beside).verdict == "not shown", "the interval does not surround the value"
    few = PairedDifference(-0.2, None, 5)
    assert not few.is_shown
    assert few.images_needed is None
    assert result(few).verdict == "too few images"
    assert result(None).verdict == ""
    assert result(None).mean == 41.0
    assert result(None).std == pytest.approx(2**0.5)


@pytest.mark.parametrize(
    ("interval", "changes", "expected"),
    [
        (Interval(47.0, 48.0), "", "within"),
        (Interval(47.7, 48.0), "", "above"),
        (Interval(46.0, 47.5), "", "below"),
        (Interval(47.0, 48.0), "50 of 200 iterations", "not comparable: 50 of 200 iterations"),
        (None, "", "not comparable: there is no interval"),
    ],
)
def test_judgement__of_a_published_number(interval, changes, expected):
    row = TableRow("a", "ViT", "task", "none", SEG, PAPER)
    assert _judgement(row, 47.5, interval, changes).startswith(expected)
    assert _judgement(row, None, None, "") == ""


def test_forest__draws_zero_in_the_middle_and_marks_what_is_shown():
    lines = [result(PairedDifference(2.0, Interval(1.0, 4.0), 25)), result(None)]
    picture = forest(lines)
    assert picture.count("<circle") == 1
    assert '<g class="better">' in picture
    assert forest([result(None), result(PairedDifference(1.0, None, 5))]) == ""
