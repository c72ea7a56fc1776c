"""The numbers of a summary by hand, and its sentence in every case."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
import torch

from ttr_backbones.errors import InputError
from ttr_backbones.registers import RegisterNeurons
from ttr_backbones.report.inspection import Inspection
from ttr_backbones.report.summary import outlier_rule, percent, summarize


def inspection(registers="none", outliers=(), norm=500.0, num=0):
    """Three blocks, two images of 4 x 5 patches with norms of about 10; outliers from block 1 on.

    Outliers are (image, row, column).
    """
    norms = 10 + torch.rand(3, 2, 4, 5, generator=torch.Generator().manual_seed(0))
    for image, row, column in outliers:
        norms[1, image, row, column] = norm
        norms[2, image, row, column] = norm / 2
    return Inspection(
        registers=registers,
        num_registers=num,
        norms=norms,
        cls_norms=torch.full((3, 2), 20.0),
        register_norms=torch.full((3, 2, num), 300.0) if num else None,
        attention={2: torch.full((2, 3, 4, 5), 0.04)},
        features=torch.zeros(2, 3, 4, 5),
        activations={(1, 7): norms[1].clone()},
    )


PLACES = [(0, 0, 0), (1, 0, 0), (1, 3, 4)]
NAMES = {"model": "m", "size": (64, 80), "images": ["a.jpg", "b.jpg"]}


def test_summary__numbers_by_hand():
    before, after = inspection(outliers=PLACES), inspection("test_time", num=1)
    summary = summarize([before, after], **NAMES, neurons=RegisterNeurons("m", {1: [7]}))
    assert json.loads(json.dumps(summary, allow_nan=False)) == summary, "plain data"
    assert summary["block"] == 1, "where outliers stand out most"
    assert 11 < summary["threshold"] < 500
    assert (summary["grid"], summary["size"]) == ([4, 5], [64, 80])
    assert summary["neurons"] == {"1": [7]}
    none, added = summary["registers"]["none"], summary["registers"]["test_time"]
    assert none["outlier_fraction"] == pytest.approx(3 / 40)
    assert none["outlier_fraction_per_block"] == pytest.approx([0, 3 / 40, 3 / 40])
    assert added["outlier_fraction"] == 0
    assert none["outlier_counts"][0] == [2, 0, 0, 0, 0]
    assert none["outlier_counts"][3] == [0, 0, 0, 0, 1]
    assert none["outliers_per_image"] == [1, 2]
    assert none["largest_norm"][1:] == [500, 250]
    assert none["largest_norm_per_image"] == [500, 500]
    assert none["cls_norm"] == [20, 20, 20]
    assert (none["register_norm"], added["register_norm"]) == (None, [300, 300, 300])
    assert sum(none["histogram"]["patch"]) == 40
    assert none["histogram"]["patch"][-1] == 3, "the largest norms are in the last bin"
    assert (sum(none["histogram"]["cls"]), none["histogram"]["register"]) == (2, [])
    assert sum(added["histogram"]["register"]) == 2
    assert none["attention_entropy"]["2"] == pytest.approx(1), "uniform"
    assert none["attention_on_outliers"]["2"] == pytest.approx(3 / 40)
    assert added["attention_on_outliers"]["2"] == pytest.approx(3 / 40), "the same patches"
    assert none["activations"]["1:7"]["at_outliers"] == 500
    assert 10 < none["activations"]["1:7"]["elsewhere"] < 11


def test_entropy__of_attention_to_one_patch_is_zero():
    weights = torch.zeros(2, 3, 4, 5)
    weights[:, :, 1, 2] = 0.3
    one = replace(inspection(), attention={0: weights})
    numbers = summarize([one], **NAMES)["registers"]["none"]
    assert numbers["attention_entropy"] == {"0": 0.0}


def test_rule__is_the_lists_own_if_it_tells():
    told = RegisterNeurons("m", {1: [7]}, {"detect_block": -1, "threshold": 99.5})
    rule = outlier_rule([inspection(outliers=PLACES)], told)
    assert (rule.block, rule.threshold) == (2, 99.5)
    without = RegisterNeurons("m", {1: [7]}, {"threshold": 99.5})
    assert outlier_rule([inspection(outliers=PLACES)], without).block == 1


def verdict(*inspections, **provenance):
    neurons = RegisterNeurons("m", {1: [7]}, {"detect_block": 1, "threshold": 77.0})
    return summarize(inspections, **NAMES, neurons=neurons)["verdict"]


def test_verdict__the_register_removes_the_outliers():
    assert verdict(inspection(outliers=PLACES), inspection("test_time", num=1)) == (
        "7.5 % of the patches are outliers (norm above 77 after block 1, largest 500); with one "
        "test-time register 0 % (largest 11)."
    )


def test_verdict__it_removes_some_or_none():
    few = verdict(inspection(outliers=PLACES), inspection("test_time", PLACES[:1], 400, 2))
    assert few.endswith(
        "; with 2 test-time registers 2.5 % (largest 400): these neurons remove only a part of "
        "them."
    )
    none = verdict(inspection(outliers=PLACES), inspection("test_time", PLACES, 400, 1))
    assert none.endswith(
        "; with one test-time register still 7.5 % (largest 400): these neurons do not remove them."
    )


def test_verdict__without_outliers():
    trained = [inspection("trained"), inspection("trained+test_time", num=1)]
    summary = summarize(trained, **NAMES)
    assert (summary["threshold"], summary["registers"]["trained"]["outlier_fraction"]) == (None, 0)
    assert summary["verdict"].startswith("No patch is an outlier with its trained registers: ")
    assert "the largest norm is 11, the median 1" in summary["verdict"]
    worse = verdict(inspection(), inspection("test_time", PLACES, 400, 1))
    assert worse.startswith("No patch is an outlier (norm above 77) without registers: ")
    assert "7.5 % of the patches become outliers" in worse


def test_percent__is_zero_only_where_it_is():
    shares = [0, 0.00004, 0.0198, 0.5, 1]
    assert list(map(percent, shares)) == ["0 %", "0.004 %", "2.0 %", "50.0 %", "100.0 %"]


def test_summary__refuses_other_images():
    other = inspection()
    with pytest.raises(InputError, match="all of the same model and images"):
        summarize([inspection(), replace(other, norms=other.norms[:, :1])], **NAMES)
    with pytest.raises(InputError, match="one inspection or more"):
        summarize([], **NAMES)


def test_summary__refuses_nan():
    broken = inspection(outliers=PLACES, norm=float("nan"))
    with pytest.raises(
        InputError,
        match=r"3 of 40 values are NaN or infinite: m, patch norms after block 1, first in a\.jpg",
    ):
        summarize([broken], **NAMES)


def test_summary__of_the_real_vit(real_inspections):
    names = {"model": "m", "size": (224, 224), "images": ["a", "b", "c"]}
    summary = summarize(real_inspections, **names)
    before, after = summary["registers"].values()
    assert 0.015 < before["outlier_fraction"] < 0.025
    assert before["largest_norm"][7] > 500 > 40 > after["largest_norm"][7]
    assert before["attention_on_outliers"]["11"] > 3 * after["attention_on_outliers"]["11"]
    assert "with one test-time register 0 % (largest " in summary["verdict"]
