"""Scores of many heads: the best, the table, the files, and going on after a resume."""

import csv
import json

import pytest

from ttr_backbones.probes.scores import Score, Scores


@pytest.fixture
def scores():
    scores = Scores(["a", "b", "c"], "mIoU", higher_is_better=True)
    scores.add(10, {"a/mIoU": 30.0, "a/aAcc": 50.0, "b/mIoU": 40.0, "b/aAcc": 45.0, "c/mIoU": 1.0})
    scores.add(20, {"a/mIoU": 35.0, "a/aAcc": 51.0, "b/mIoU": 38.0, "b/aAcc": 44.0, "c/mIoU": 2.0})
    return scores


def test_best_is_over_all_validations(scores):
    assert scores.best() == Score("b", 10, 40.0)
    assert scores.best("a") == Score("a", 20, 35.0)
    assert scores.best("nobody") is None


def test_best_may_be_the_lowest():
    scores = Scores(["a", "b"], "rmse", higher_is_better=False)
    assert scores.best() is None
    scores.add(5, {"a/rmse": 0.5, "b/rmse": 0.4})
    scores.add(6, {"a/rmse": 0.6, "b/rmse": 0.4})
    assert scores.best() == Score("b", 5, 0.4), "of equal ones the first"


def test_table_ranks_the_latest_and_names_the_lost(scores):
    scores.diverged["c"] = 15
    scores.add(20, {"a/mIoU": 35.0, "a/aAcc": 51.0, "b/mIoU": 41.0, "b/aAcc": 44.0})
    heading, first, second, lost = scores.table()
    assert heading.split() == ["iteration", "20", "mIoU", "aAcc"]
    assert first.split() == ["b", "41", "44", "best", "so", "far"]
    assert second.split() == ["a", "35", "51"]
    assert lost.split() == ["c", "diverged", "at", "iteration", "15"]


def test_files_hold_every_validation(scores, tmp_path):
    scores.write(tmp_path)
    rows = list(csv.DictReader((tmp_path / "probes.csv").open()))
    assert [(row["iteration"], row["probe"]) for row in rows][:2] == [("10", "a"), ("10", "b")]
    assert len(rows) == 6
    told = json.loads((tmp_path / "probes.json").read_text())
    assert told["best"] == {"name": "b", "iteration": 10, "value": 40.0}
    assert told["scores"] == scores.rows


def test_state_goes_on_and_a_repeated_validation_replaces_the_first(scores):
    scores.diverged["c"] = 15
    scores.add_held_out(10, {"held_out": 1.0, "splits": 100})
    scores.add_held_out(10, {"held_out": 39.50000001, "splits": 100})
    other = Scores(scores.names, "mIoU", higher_is_better=True)
    other.load(scores.state())
    assert other.held_out == [{"iteration": 10, "held_out": 39.5, "splits": 100}]
    other.add_held_out(10, None)
    assert other.held_out_at(10) is None
    assert scores.held_out_at(10)["held_out"] == 39.5, "the state is a copy"
    other.add(20, {"a/mIoU": 36.0, "b/mIoU": 38.0, "c/mIoU": 99.0})
    assert other.alive == ["a", "b"]
    assert other.best("a") == Score("a", 20, 36.0)
    assert scores.best("a") == Score("a", 20, 35.0), "the state is a copy"
    assert other.best().name == "b", "what is lost is no longer scored"
