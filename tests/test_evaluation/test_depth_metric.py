"""The depth metric: two images by hand, and everything that may not go in silence."""

from __future__ import annotations

import logging
import math

import numpy as np
import pytest
import torch
from mmengine.logging import MMLogger
from PIL import Image

from ttr_backbones.errors import InputError
from ttr_backbones.evaluation import DepthMetric, depth_errors


def sample(pred, gt, name="a.jpg"):
    return {
        "img_path": name,
        "pred_depth_map": {"data": torch.as_tensor(pred, dtype=torch.float32)[None]},
        "gt_depth_map": {"data": torch.as_tensor(gt, dtype=torch.float32)[None]},
    }


def evaluate(samples, batch=2, **options):
    metric = DepthMetric(**{"crop": None, **options})
    for start in range(0, len(samples), batch):
        metric.process(None, samples[start : start + batch])
    return metric.evaluate(len(samples))


@pytest.fixture
def warnings(caplog):
    logger = MMLogger.get_current_instance()
    logger.addHandler(caplog.handler)
    yield lambda: "\n".join(r.message for r in caplog.records if r.levelno == logging.WARNING)
    logger.removeHandler(caplog.handler)


# One valid pixel with an error of 3 m; three with errors of 1 m.
FIRST = sample([[4.0, 9.0]], [[1.0, 0.0]], "scene/1.jpg")
SECOND = sample([[2.0, 3.0, 4.0]], [[1.0, 2.0, 5.0]], "scene/2.jpg")


def test_two_images_by_hand():
    result = evaluate([FIRST, SECOND])
    assert result["rmse"] == pytest.approx((3 + 1) / 2), "the mean over the images"
    assert result["rmse_pooled"] == pytest.approx(math.sqrt((9 + 1 + 1 + 1) / 4))
    assert result["abs_rel"] == pytest.approx((3 / 1 + (1 + 1 / 2 + 1 / 5) / 3) / 2)
    # 5 / 4 is not below 1.25, 3 / 2 is below 1.5625.
    assert [result[d] for d in ("d1", "d2", "d3")] == pytest.approx([0, 1 / 3, 1 / 3])
    assert result["silog"] == pytest.approx(
        100 * np.std(np.log([2 / 1, 3 / 2, 4 / 5])) / 2  # one pixel has no spread
    )
    assert result["images"] == 2
    assert (result["images_without_truth"], result["images_not_finite"]) == (0, 0)
    assert {type(value) for value in result.values()} == {float}, "the JSON log has no integers"
    assert evaluate([FIRST, SECOND], batch=1) == result


def test_the_mean_of_depth_errors_inside_the_crop():
    generator = torch.Generator().manual_seed(0)
    depths = torch.rand(3, 2, 480, 640, generator=generator) * 12
    samples = [sample(pred, gt) for pred, gt in depths]
    result = evaluate(samples, crop="eigen")
    for name in ("d1", "sq_rel", "rmse", "log10", "silog"):
        values = []
        for pred, gt in depths:
            pred, gt = (x[45:471, 41:601] for x in (pred, gt))
            mask = (gt > 1e-3) & (gt < 10)
            values.append(depth_errors(pred.clamp(1e-3, 10)[mask], gt[mask])[name])
        assert result[name] == pytest.approx(np.mean(values), rel=1e-6)
    assert result["clamped_above"] == pytest.approx(1 / 6, abs=0.01)


def test_predictions_out_of_range_are_clamped_and_counted():
    truth = [[1.0, 1.0, 1.0, 5.0, 0.0]]
    result = evaluate([sample([[0.0, -2.0, 1.0, 99.0, -1.0]], truth)])
    expected = evaluate([sample([[1e-3, 1e-3, 1.0, 10.0, 1.0]], truth)])
    assert (result["clamped_below"], result["clamped_above"]) == (2 / 4, 1 / 4)
    assert (expected["clamped_below"], expected["clamped_above"]) == (0, 0)
    assert result["d1"] == 1 / 4, "a prediction that is not positive is no hit"
    same = {name for name in result if not name.startswith("clamped")}
    assert {name: result[name] for name in same} == {name: expected[name] for name in same}


def test_images_that_cannot_be_scored_are_left_out_and_named(warnings):
    spoilt = [
        sample([[math.nan, 1.0]], [[1.0, 1.0]], "scene/nan.jpg"),
        sample([[math.inf, 1.0]], [[1.0, 1.0]], "scene/inf.jpg"),
        sample([[1.0, 1.0]], [[0.0, 20.0]], "scene/empty.jpg"),
    ]
    result = evaluate([FIRST, *spoilt, SECOND])
    assert (result["images"], result["images_without_truth"], result["images_not_finite"]) == (
        2,
        1,
        2,
    )
    clean = evaluate([FIRST, SECOND])
    assert {name: result[name] for name in clean if not name.startswith("images")} == {
        name: value for name, value in clean.items() if not name.startswith("images")
    }
    assert "not finite: scene/nan.jpg, scene/inf.jpg" in warnings()
    assert "no pixel has a truth within the range and the crop: scene/empty.jpg" in warnings()


def test_nan_where_nothing_is_scored_does_no_harm(warnings):
    result = evaluate([sample([[4.0, math.nan]], [[1.0, 0.0]])])
    assert result["rmse"] == pytest.approx(3)
    assert warnings() == ""


def test_no_image_left_is_an_error():
    spoilt = [
        sample([[math.nan]], [[1.0]]),
        sample([[1.0]], [[0.0]]),
        sample([[math.nan]], [[0.0]]),
    ]
    with pytest.raises(InputError, match=r"no image can be scored: of 3, 2 have no truth"):
        evaluate(spoilt)


def test_padding_of_the_sampler_is_dropped():
    metric = DepthMetric(crop=None)
    metric.process(None, [FIRST, SECOND, FIRST])
    assert metric.evaluate(2) == evaluate([FIRST, SECOND])


def test_predictions_are_saved_in_millimetres_by_scene(tmp_path):
    samples = [
        sample([[1.2345, math.nan, 70.0]], [[1.0, 0.0, 2.0]], "data/kitchen/rgb_1.jpg"),
        sample([[2.0, -1.0, 3.0]], [[1.0, 1.0, 2.0]], "/data/office/rgb_1.jpg"),
    ]
    evaluate(samples, output_dir=tmp_path)
    kitchen = np.asarray(Image.open(tmp_path / "data/kitchen/rgb_1.png"))
    assert kitchen.dtype == np.uint16
    assert kitchen.tolist() == [[1234, 0, 10000]]
    office = np.asarray(Image.open(tmp_path / "data/office/rgb_1.png"))
    assert office.tolist() == [[2000, 0, 3000]]
    twice = [FIRST, sample([[1.0]], [[1.0]], "scene/1.png")]
    with pytest.raises(InputError, match=r"scene/1.png and scene/1.jpg would both be saved as"):
        evaluate(twice, output_dir=tmp_path)


def test_bad_options_and_samples_are_explained(tmp_path):
    with pytest.raises(InputError, match=r"unknown crop 'eigne'\. Did you mean 'eigen'"):
        DepthMetric(crop="eigne")
    with pytest.raises(InputError, match="0 < min_depth < max_depth"):
        DepthMetric(min_depth=0.0)
    with pytest.raises(InputError, match=r"80 m do not fit.*at most 819"):
        DepthMetric(max_depth=80.0, output_dir=tmp_path)
    DepthMetric(max_depth=80.0, output_dir=tmp_path, output_scale=256)
    with pytest.raises(InputError, match=r"prediction is \[1, 1, 2\] and the truth \[1, 1, 3\]"):
        evaluate([sample([[1.0, 1.0]], [[1.0, 1.0, 1.0]])])
    with pytest.raises(InputError, match="LoadDepth"):
        evaluate([{"img_path": "a.jpg", "pred_depth_map": FIRST["pred_depth_map"]}])
