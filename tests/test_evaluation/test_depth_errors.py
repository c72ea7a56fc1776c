"""The nine depth errors: hand numbers, a float64 loop, invariants; and the crops."""

from __future__ import annotations

import ast
import math
import statistics
import sys
from pathlib import Path

import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensorMode

from ttr_backbones.errors import InputError
from ttr_backbones.evaluation import depth_errors, eigen_mask, garg_mask
from ttr_backbones.evaluation.depth_errors import masked_errors


def loop(pred, gt):
    pairs = [(float(p), float(g)) for p, g in zip(pred, gt, strict=True)]
    logs = [math.log(p) - math.log(g) for p, g in pairs]
    ratios = [max(p / g, g / p) for p, g in pairs]
    mean = statistics.fmean
    return {
        "d1": mean(r < 1.25 for r in ratios),
        "d2": mean(r < 1.5625 for r in ratios),
        "d3": mean(r < 1.953125 for r in ratios),
        "abs_rel": mean(abs(p - g) / g for p, g in pairs),
        "sq_rel": mean((p - g) ** 2 / g for p, g in pairs),
        "rmse": mean((p - g) ** 2 for p, g in pairs) ** 0.5,
        "rmse_log": mean(e * e for e in logs) ** 0.5,
        "log10": mean(abs(math.log10(p) - math.log10(g)) for p, g in pairs),
        "silog": 100 * (mean(e * e for e in logs) - mean(logs) ** 2) ** 0.5,
    }


def test_by_hand():
    # Ratios 2, 1, 1.6 and 1.25 (which is not below 1.25).
    pred, gt = torch.tensor([2.0, 3.0, 5.0, 5.0]), torch.tensor([1.0, 3.0, 8.0, 4.0])
    errors = depth_errors(pred, gt)
    logs = [math.log(2), 0.0, math.log(5 / 8), math.log(1.25)]
    assert errors == pytest.approx(
        {
            "d1": 0.25,
            "d2": 0.5,
            "d3": 0.75,
            "abs_rel": (1 + 0 + 3 / 8 + 1 / 4) / 4,
            "sq_rel": (1 + 0 + 9 / 8 + 1 / 4) / 4,
            "rmse": math.sqrt((1 + 0 + 9 + 1) / 4),
            "rmse_log": math.sqrt(sum(e * e for e in logs) / 4),
            "log10": sum(map(abs, logs)) / 4 / math.log(10),
            "silog": 100 * statistics.pstdev(logs),
        }
    )


def test_equals_a_loop_in_float64():
    generator = torch.Generator().manual_seed(0)
    pred, gt = (torch.rand(2, 500, generator=generator) * 10 + 1e-3).unbind()
    assert depth_errors(pred, gt) == pytest.approx(loop(pred, gt), rel=1e-10)


def test_masked_errors_are_those_of_the_selected_pixels_whatever_the_others_hold():
    generator = torch.Generator().manual_seed(0)
    pred, gt = (torch.rand(2, 1, 20, 30, generator=generator) + 0.5).unbind()
    mask = torch.rand(1, 20, 30, generator=generator) < 0.4
    pred[~mask], gt[~mask] = torch.nan, 0.0
    expected = list(depth_errors(pred[mask], gt[mask]).values())
    assert masked_errors(pred, gt, mask).tolist() == pytest.approx(expected, rel=1e-12)


def test_masked_errors_fetch_no_value_from_the_device():
    with FakeTensorMode():  # tensors without values: looking at one, or indexing by a mask, raises
        depth = torch.empty(1, 8, 8)
        assert masked_errors(depth, depth, depth > 0).shape == (9,)


def test_perfect_and_scaled_predictions():
    gt = torch.rand(100, generator=torch.Generator().manual_seed(0)) + 0.5
    perfect = depth_errors(gt, gt)
    assert [perfect.pop(name) for name in ("d1", "d2", "d3")] == [1, 1, 1]
    assert set(perfect.values()) == {0.0}
    scaled = depth_errors(1.2 * gt, gt)
    assert scaled["silog"] == pytest.approx(0, abs=1e-4), "a common factor does not count"
    assert scaled["abs_rel"] == pytest.approx(0.2)
    assert scaled["rmse_log"] == pytest.approx(math.log(1.2))


@pytest.mark.parametrize("value", [0.0, -1.0, math.nan, math.inf])
@pytest.mark.parametrize("where", ["pred", "gt"])
def test_no_positive_number_is_refused(value, where):
    depths = {"pred": torch.ones(4), "gt": torch.ones(4)}
    depths[where][1] = value
    with pytest.raises(InputError, match=f"1 of the 4 values of {where} are no positive"):
        depth_errors(**depths)


@pytest.mark.parametrize("shapes", [((3,), (4,)), ((0,), (0,)), ((2, 2), (2, 2))])
def test_other_than_two_equal_lists_is_refused(shapes):
    with pytest.raises(InputError, match="two equally long 1-D tensors"):
        depth_errors(*(torch.ones(shape) for shape in shapes))


def test_eigen_mask():
    gt = torch.full((2, 1, 480, 640), 5.0)
    mask = eigen_mask(gt, 1e-3, 10.0)
    assert mask.shape == gt.shape
    rows, columns = mask[1, 0].any(dim=1).nonzero(), mask[1, 0].any(dim=0).nonzero()
    assert (rows.min(), rows.max(), columns.min(), columns.max()) == (45, 470, 41, 600)
    assert mask[0].sum() == 426 * 560
    gt[0, 0, 100, 100:104] = torch.tensor([0.0, 1e-3, 10.0, 9.9])
    assert eigen_mask(gt, 1e-3, 10.0)[0, 0, 100, 99:105].tolist() == [
        True,
        *[False] * 3,
        True,
        True,
    ]
    with pytest.raises(InputError, match="defined for truth of 480x640"):
        eigen_mask(gt[..., :320], 1e-3, 10.0)


def test_garg_mask():
    mask = garg_mask(torch.full((352, 1216), 5.0), 1e-3, 80.0)
    rows, columns = mask.any(dim=1).nonzero(), mask.any(dim=0).nonzero()
    # .40810811 * 352 = 143.65, .99189189 * 352 = 349.15; .03594771 * 1216 = 43.7, ... = 1172.3
    assert (rows.min(), rows.max(), columns.min(), columns.max()) == (143, 348, 43, 1171)


def test_the_module_imports_torch_and_our_errors_only():
    tree = ast.parse(Path(sys.modules[masked_errors.__module__].__file__).read_text("utf-8"))
    imported = {node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    assert imported == {"__future__", "torch", "ttr_backbones.errors"}
