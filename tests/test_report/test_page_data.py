"""What the report stores is what was measured, to the step of its bytes."""

from __future__ import annotations

import base64
import io
import math
import zlib

import numpy as np
import pytest
import torch
from PIL import Image

from ttr_backbones.report.page_data import RANGE, STEPS, column_label, page_data, quantize


def unpacked(text):
    return np.frombuffer(zlib.decompress(base64.b64decode(text)), np.uint8)


def restored(layer, kind, shape):
    steps = unpacked(layer["maps"][kind]).reshape(shape)
    return layer["low"] * (layer["high"] / layer["low"]) ** (steps / 255.0)


def test_quantize__is_right_to_half_a_step_on_one_scale():
    maps = [torch.rand(3, 4, 5) * 20 + 1, torch.rand(3, 4, 5) * 600 + 1]
    layer = quantize(maps)
    assert layer["low"] == min(m.min() for m in maps)
    assert layer["high"] == max(m.max() for m in maps)
    half_a_step = math.log(layer["high"] / layer["low"]) / STEPS / 2
    for kind, one in enumerate(maps):
        error = np.log(restored(layer, kind, one.shape)) - one.double().log().numpy()
        assert np.abs(error).max() <= half_a_step * 1.0001


@pytest.mark.parametrize("value", [0.0, 7.0])
def test_quantize__has_a_scale_for_a_constant_map(value):
    layer = quantize([torch.full((2, 2), value)])
    assert 0 < layer["low"] < layer["high"]
    assert restored(layer, 0, (2, 2)) == pytest.approx(value, abs=1e-8)


def test_quantize__keeps_small_values_apart_from_large_ones():
    layer = quantize([torch.tensor([0.0, 1e-9, 1.0])])
    assert restored(layer, 0, 3) == pytest.approx([1 / RANGE, 1 / RANGE, 1.0])


def test_page_data__holds_norms_attention_and_its_mean(make_report):
    report = make_report()
    pca = [np.zeros((3, 4, 6, 3), np.uint8)] * 2
    data = page_data(report.inspections, report.images, report.names, report.summary, pca)
    for kind, one in enumerate(report.inspections):
        np.testing.assert_allclose(
            restored(data["norms"], kind, one.norms.shape), one.norms, rtol=0.01
        )
        assert data["largest"][kind] == one.norms.amax(dim=(2, 3)).tolist()
        for layer in data["attention"]:
            weights = one.attention[layer["block"]]
            stored = restored(layer, kind, (3, 4, 4, 6))
            np.testing.assert_allclose(stored[:, 0], weights.mean(dim=1), rtol=0.02)
            np.testing.assert_allclose(stored[:, 1:], weights, rtol=0.02)
    assert [layer["block"] for layer in data["attention"]] == [2, 5]
    assert data["outliers"] == [[1, 1, 1], [0, 0, 0]]


def test_page_data__colours_rise_evenly_from_dark_to_light(make_report):
    report = make_report()
    pca = [np.zeros((3, 4, 6, 3), np.uint8)] * 2
    data = page_data(report.inspections, report.images, report.names, report.summary, pca)
    ends = {"norm": ([68, 1, 84], [253, 231, 36]), "attention": ([0, 0, 3], [251, 252, 191])}
    for what, (first, last) in ends.items():  # of viridis and of magma
        table = unpacked(data["colours"][what]).reshape(256, 3)
        assert table[0].tolist() == first
        assert table[-1].tolist() == last
        luminance = table @ [0.2126, 0.7152, 0.0722]
        assert (luminance[8:] > luminance[:-8]).all()


def test_page_data__photographs_keep_their_shape_at_moderate_size(make_report):
    report = make_report(names=("large",), pixels=(600, 900))
    pca = [np.zeros((1, 4, 6, 3), np.uint8)] * 2
    data = page_data(report.inspections, report.images, report.names, report.summary, pca)
    photo = Image.open(io.BytesIO(base64.b64decode(data["photos"][0].partition(",")[2])))
    assert photo.size == (480, 320)
    assert data["aspect"] == 1.5


def test_kind_label__names_every_kind(make_report):
    kinds = ("none", "trained", "test_time", "trained+test_time")
    labels = [column_label(one) for one in make_report(kinds=kinds).inspections]
    assert labels == [
        "without registers",
        "with its trained registers",
        "with one test-time register",
        "with one test-time register beside the trained ones",
    ]
