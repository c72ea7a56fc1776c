"""One table and one JSON file: cells under their headings, the same numbers in both."""

import json

import pytest

from ttr_backbones.bench.machine import Machine
from ttr_backbones.bench.row import BenchRow, Measured, Ratio, patch_tokens
from ttr_backbones.bench.table import as_json, as_table

MACHINE = Machine("cpu", "a CPU", 2, None, "2.9", "1.0", {"fp32": 200e9})


@pytest.fixture
def measured():
    common = {"part": "forward", "variant": "eager", "batch_size": 8, "first_seconds": 9.0}
    plain = BenchRow(
        contestant="plain timm", images_per_second=20.0, seconds=0.4, against="plain timm",
        ratio=Ratio(1.0, 1.0, 1.0), flops_per_second=150e9, tokens_per_second=3920.0,
        peak_bytes=5 * 2**20, **common,
    )  # fmt: skip
    ours = BenchRow(
        contestant="ours", images_per_second=19.0, seconds=0.42, against="plain timm",
        ratio=Ratio(1.0612, 1.01, 1.07), goal=1.05, **common,
    )  # fmt: skip
    setting = {"model": "vit", "size": 224, "register_neurons": {3: [1]}}
    return [
        Measured("forward", setting, [plain, ours], ["forward: a note"], {"difference": 0.0}),
        Measured("memory", {"size": 512}, [], [], {"memory": [{"train": 7}]}, ["a line"]),
    ]


def test_as_table__headings_rows_notes(measured):
    heading, _, part, plain, ours, note, _, memory, line = as_table(MACHINE, measured)
    assert part == "forward: model vit, size 224; ratios: time over plain timm"
    assert plain.split() == [
        "plain", "timm", "eager", "8", "20.0", "400.0", "1", "3,920", "150.0", "75", "%", "5.0",
    ]  # fmt: skip
    assert ours.split() == [
        "ours", "eager", "8", "19.0", "420.0", "1.061", "(1.010-1.070)", "1.05", "missed",
    ]  # fmt: skip
    for name, cell in (("images/s", "20.0"), ("of mm", "75 %"), ("peak MiB", "5.0")):
        assert heading.index(name) + len(name) == plain.rindex(cell) + len(cell)
    assert note == "  a note"
    assert (memory, line) == ("memory: size 512", "a line")


def test_as_table__without_rows_has_no_heading(measured):
    assert as_table(MACHINE, measured[1:]) == ["", "memory: size 512", "a line"]


def test_as_json__has_what_the_table_has(measured):
    told = json.loads(as_json(MACHINE, measured))
    assert told["machine"]["rates"] == {"fp32": 200e9}
    plain, ours = told["rows"]
    assert (plain["share"], plain["met"]) == (0.75, None)
    assert (ours["share"], ours["met"]) == (None, False)
    assert ours["ratio"] == {"median": 1.0612, "low": 1.01, "high": 1.07}
    assert told["parts"]["forward"]["setting"]["register_neurons"] == {"3": [1]}
    assert told["parts"]["forward"]["difference"] == 0.0
    assert told["parts"]["memory"]["memory"] == [{"train": 7}]


def test_patch_tokens__of_padded_images():
    assert patch_tokens(2, (512, 500), (14, 14)) == 2 * 37 * 36


@pytest.mark.parametrize(("median", "met"), [(1.05, True), (1.0501, False)])
def test_row__a_goal_is_the_most_that_the_ratio_may_be(median, met):
    row = BenchRow("p", "c", "eager", 1, 1.0, 1.0, 1.0, "b", Ratio(median, 1.0, 2.0), goal=1.05)
    assert row.met is met
