"""The head chosen on one half of the images and scored on the other, by hand and by a loop."""

import itertools

import numpy as np
import pytest

from ttr_backbones.evaluation.depth_errors import ERRORS
from ttr_backbones.evaluation.split_half import random_halves
from ttr_backbones.probes.held_out import SEED, SPLITS, HeldOutChoice, held_out_line
from ttr_backbones.tasks import task_named


def choice_of(task, key, results):
    choice = HeldOutChoice(task_named(task), key)
    for name, of_head in results.items():
        choice.add(name, of_head)
    return choice


def depth_results(column, errors):
    """As DepthMetric keeps them: nine errors, then 5 scored pixels, none broken or clamped."""
    values = np.zeros((len(errors), len(ERRORS) + 4))
    values[:, ERRORS.index(column)], values[:, len(ERRORS)] = errors, 5
    return [(f"image {i}", row.tolist()) for i, row in enumerate(values)]


@pytest.mark.parametrize("key", ["rmse", "abs_rel"])
def test_depth__two_images_by_hand(key):
    """Image 0 chooses `a` (1 < 2), which has 3 on image 1; image 1 chooses `b`, 2 on image 0."""
    errors = {"a": [1.0, 3.0], "b": [2.0, 1.0], "lost": [0.0, 0.0]}
    results = {name: depth_results(key, of_head) for name, of_head in errors.items()}
    choice = choice_of("depth", key, results)
    row, _ = choice.row({"a": 2.0, "b": 1.5}, higher_is_better=False)
    expected = {"held_out": 2.5, "std": 0, "chosen_on": 1.0, "all_images": 1.5}
    expected |= {"splits": 100, "images": 2, "probe": "a", "chosen": 0.5}
    assert row == expected
    assert held_out_line(row, key) == (
        f"held out: {key} 2.5 ± 0: the best head is chosen on one half of the 2 images and "
        "reported on the other, 100 splits (1 on the half that chose; the best of all on all "
        "images: 1.5). Chosen most often: a, 50% of the halves"
    )
    assert choice.row({"a": 2.0, "b": 1.5}, higher_is_better=False)[0] is None, "images are let go"


def test_classes__no_image_both_chooses_and_reports():
    """For every half of six images a head that is right there and nowhere else."""
    right = {"".join(map(str, h)): h for h in itertools.combinations(range(6), 3)}
    results = {name: [("", 0, [int(i not in h)]) for i in range(6)] for name, h in right.items()}
    row, _ = choice_of("classification", "top1", results).row(
        dict.fromkeys(results, 50.0), higher_is_better=True
    )
    assert (row["held_out"], row["chosen_on"], row["all_images"]) == (0.0, 100.0, 50.0)


def test_mean_iou__is_that_of_the_areas_of_each_half_in_a_plain_loop():
    rng = np.random.default_rng(0)
    union, truth = rng.integers(10, 30, (2, 4, 9, 3))
    shared = rng.integers(0, union)
    union[:, :, 2] *= rng.integers(0, 2, (4, 9))  # a class that not every image has
    shared[:, :, 2] = np.minimum(shared[:, :, 2], union[:, :, 2])

    def score(head, images):
        inter, area = shared[head, images].sum(axis=0), union[head, images].sum(axis=0)
        return 100 * np.mean([i / a for i, a in zip(inter, area, strict=True) if a])

    held_out, seen = [], []
    for half in random_halves(9, SPLITS, SEED):
        pair = []
        for choosing, reporting in ((half, ~half), (~half, half)):
            best = max(range(4), key=lambda head: score(head, choosing))
            pair.append(score(best, reporting))
            seen.append(score(best, choosing))
        held_out.append(np.mean(pair))

    names = "abcd"
    results = {
        name: [(shared[h, i], union[h, i], None, truth[h, i]) for i in range(9)]
        for h, name in enumerate(names)
    }
    whole = {name: score(h, np.arange(9)) for h, name in enumerate(names)}
    row, _ = choice_of("segmentation", "mIoU", results).row(whole, higher_is_better=True)
    assert row["held_out"] == pytest.approx(np.mean(held_out))
    assert row["std"] == pytest.approx(np.std(held_out))
    assert row["chosen_on"] == pytest.approx(np.mean(seen))
    assert row["all_images"] == max(whole.values())


def test_what_cannot_be_held_out_is_said():
    results = {name: depth_results("rmse", [1.0, 3.0]) for name in "ab"}
    single = {name: of_head[:1] for name, of_head in results.items()}
    empty = dict.fromkeys("ab", [("image", [0.0] * 13)] * 2)
    value = {"a": 2.0, "b": 2.0}
    for key, given, values, expected in [
        ("rmse", results, {"a": 2.0}, "one head, so nothing is chosen"),
        ("rmse_pooled", results, value, "rmse_pooled is not known for single images"),
        ("rmse", {"a": results["a"]}, value, "rmse is not known for single images"),
        ("rmse", single, {"a": 1.0, "b": 1.0}, "one image, and halves need two"),
        ("rmse", results, {"a": 2.0, "b": 9.0}, "b: single images make 2 and the evaluator says 9"),
    ]:
        found = choice_of("depth", key, given).row(values, higher_is_better=False)
        assert found == (None, expected)
    partly = {name: [of_head[0], empty[name][0]] for name, of_head in results.items()}
    found = choice_of("depth", "rmse", partly).row({"a": 1.0, "b": 1.0}, higher_is_better=False)
    assert found == (None, "some half has no image that can be scored")
