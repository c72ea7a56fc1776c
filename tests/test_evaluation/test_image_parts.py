"""Metrics made again from the parts of single images equal those of the evaluators."""

import numpy as np
import pytest
import torch

from ttr_backbones.evaluation import (
    CorLocMetric,
    DepthMetric,
    NamedIoUMetric,
    TypographicMetric,
)
from ttr_backbones.evaluation.accuracy_metric import AccuracyMetric, KnnMetric
from ttr_backbones.evaluation.bootstrap import bootstrap_scores, percentile_interval
from ttr_backbones.tasks import task_named


def evaluated(metric, samples):
    """Return what the metric gives, and what it kept of every image."""
    metric.process(None, samples)
    results = list(metric.results)
    return metric.evaluate(len(samples)), results


def mean_iou_samples(rng):
    draw = lambda: {"data": torch.as_tensor(rng.integers(0, 4, (1, 8, 9)))}  # noqa: E731
    return [{"pred_sem_seg": draw(), "gt_sem_seg": draw(), "img_path": "a"} for _ in range(5)]


def depth_samples(rng):
    draw = lambda: {"data": torch.as_tensor(rng.uniform(1, 9, (1, 8, 9)))}  # noqa: E731
    samples = [{"pred_depth_map": draw(), "gt_depth_map": draw()} for _ in range(5)]
    samples[1]["gt_depth_map"]["data"][:] = 0  # no truth
    samples[3]["pred_depth_map"]["data"][0, 0, 0] = torch.nan
    return samples


def box_samples(rng):
    true = torch.tensor([[0.0, 0, 10, 10], [50, 50, 60, 60]])
    shifts = rng.uniform(0, 9, 5)
    boxes = [torch.tensor([shift, 0, 10 + shift, 10]) for shift in shifts]
    return [{"img_path": "a", "pred_box": box, "gt_boxes": true} for box in boxes]


def class_samples(rng):
    return [{"gt_label": rng.integers(3), "pred_classes": rng.permutation(3)} for _ in range(5)]


def word_samples(rng):
    return [{**sample, "written_label": rng.integers(3)} for sample in class_samples(rng)]


def knn_samples(rng):
    found = rng.integers(0, 2, (5, 3)).tolist()
    return [{"gt_label": 1, "pred_by_k": dict(zip((5, 10, 20), row, strict=True))} for row in found]


@pytest.mark.parametrize(
    ("name", "metric", "samples"),
    [
        ("classification", AccuracyMetric(), class_samples),
        ("kNN classification", KnnMetric(), knn_samples),
        ("typographic attack", TypographicMetric(), word_samples),
        ("segmentation", NamedIoUMetric(), mean_iou_samples),
        ("depth", DepthMetric(crop=None), depth_samples),
        ("object discovery", CorLocMetric(iou=0.4), box_samples),
    ],
)
def test_image_parts__sum_up_to_the_metric(name, metric, samples):
    task = task_named(name)
    metric.dataset_meta = {"classes": (*"abcd", "never seen")}
    scores, results = evaluated(metric, samples(np.random.default_rng(0)))
    parts = task.image_parts.of_results(results)
    assert parts.shape[0] == 5
    whole = task.image_parts.score(parts.sum(axis=0))
    assert whole == pytest.approx(task.metric.value(scores), abs=0.005), "mmseg rounds to 0.01"
    # A part of the images: as if the others were not there.
    few, _ = evaluated(metric, [samples(np.random.default_rng(0))[i] for i in (0, 2)])
    expected = task.metric.value(few)
    assert task.image_parts.score(parts[[0, 2]].sum(axis=0)) == pytest.approx(expected, abs=0.005)


def test_bootstrap__is_paired_and_as_wide_as_theory_says():
    mean = task_named("depth").image_parts
    values = np.random.default_rng(0).normal(5.0, 2.0, 400)
    runs = np.stack([values, values + 0.5])
    parts = np.stack([runs, np.ones_like(runs)], axis=2)
    scores = bootstrap_scores(parts, mean, rounds=2000, seed=1)
    assert scores.shape == (2, 2000)
    assert scores[1] - scores[0] == pytest.approx(0.5), "the same images in either"
    alone = bootstrap_scores(parts[1:], mean, rounds=2000, seed=1)
    assert (alone[0] == scores[1]).all(), "whatever was computed beside"
    interval = percentile_interval(scores[0])
    half = 1.96 * values.std() / 20  # of the mean of 400 values
    assert interval.low == pytest.approx(values.mean() - half, abs=0.02)
    assert interval.high == pytest.approx(values.mean() + half, abs=0.02)


def test_mean_iou__of_resampled_images_by_hand():
    """Areas add up before they are divided: a class in one image of two counts once."""
    task = task_named("segmentation")
    one, two = (
        list(torch.tensor([[2.0, 0], [4.0, 0], [2.0, 0], [4.0, 0]])),
        list(torch.tensor([[1.0, 3], [8.0, 3], [1.0, 3], [8.0, 3]])),
    )
    parts = task.image_parts.of_results([one, two])
    sums = np.array([[2.0, 0], [1, 1]]) @ parts
    assert task.image_parts.score(sums).tolist() == [50.0, pytest.approx(100 * (3 / 12 + 1) / 2)]


def test_mean_iou__of_a_drawn_set_is_not_lowered_by_a_class_that_was_not_drawn():
    """Three classes: one in either image, one in the second, one only predicted."""
    task = task_named("segmentation")
    # Areas of intersection, union, prediction and truth, as mmseg's metric keeps them.
    one = [[2.0, 0, 0, 0], [4.0, 1, 1, 0], [3.0, 1, 1, 0], [3.0, 0, 0, 0]]
    two = [[3.0, 4, 0, 0], [4.0, 5, 0, 0], [3.0, 5, 0, 0], [4.0, 4, 0, 0]]
    results = [list(torch.tensor(image)) for image in (one, two)]
    parts = task.image_parts.of_results(results)
    whole = parts.sum(axis=0)
    assert task.image_parts.classes(whole) == (2, 3, 4)
    score = float(task.image_parts.score(whole))
    assert score == pytest.approx(100 * (5 / 8 + 4 / 6 + 0) / 3)
    drawn = np.array([[1.0, 1], [2, 0], [0, 2]]) @ parts
    by_hand = [score, 100 * (2 / 4) * 2 / 3, 100 * (3 / 4 + 4 / 5) / 2 * 2 / 3]
    assert task.image_parts.drawn_score(drawn, whole) == pytest.approx(by_hand)
    assert task.image_parts.score(drawn[1]) == pytest.approx(100 * (2 / 4) / 3), "what mmseg says"


def test_bootstrap__of_mean_iou_surrounds_the_score_and_holds_the_truth():
    """Many data sets of 40 images from one source: most intervals hold the score to be expected.

    Four of ten classes are in one image of ten, and every class is predicted in every image.
    """
    kind, rng = task_named("segmentation").image_parts, np.random.default_rng(0)
    truth = rng.random((60, 40, 10)) < np.where(np.arange(10) < 4, 0.1, 0.5)
    hits = truth * rng.uniform(0.2, 0.8, truth.shape)
    union = truth + rng.uniform(0, 0.2, truth.shape)
    parts = np.concatenate([hits, union, truth], axis=2)
    scores = kind.score(parts.sum(axis=1))
    intervals = [percentile_interval(row) for row in bootstrap_scores(parts, kind, 300, seed=0)]
    expected = scores.mean()
    assert sum(interval.holds(expected) for interval in intervals) >= 54, "of 60"
    assert sum(interval.high < expected for interval in intervals) <= 3
    places = [(s - i.low) / (i.high - i.low) for s, i in zip(scores, intervals, strict=True)]
    assert np.mean(places) == pytest.approx(0.5, abs=0.05), "0.62 by mmseg's score of drawn sets"
