"""Mean and deviation by hand, and the three forms of the table."""

import csv
import io
from types import SimpleNamespace

import pytest

from ttr_backbones.compare.cells import CellResult
from ttr_backbones.compare.summary import summarize
from ttr_backbones.compare.table import csv_cells, csv_table, markdown_table, text_table


def test_line__mean_and_sample_deviation_by_hand(lines):
    three, two, none, unseeded = lines
    assert (three.mean, three.std) == (42.0, 2.0)
    assert two.std == pytest.approx(0.5 / 2**0.5)
    assert [line.measured for line in lines] == ["42.00 ± 2.00", "50.25 ± 0.35", "-", "61.2"]
    assert [line.runs for line in lines] == ["3", "2 of 3", "0 of 3", "no seed"]
    assert (none.mean, none.std, unseeded.std) == (None, None, None)


def cell(row, seed):
    name = f"{row.experiment}, {row.repair}, {seed}"
    return SimpleNamespace(row=row, seed=seed, name=name, folder="F")


def test_summarize__puts_lines_of_a_task_together_and_leaves_failed_cells_out(lines):
    a, b, c, d = (line.row for line in lines)
    cells = [cell(a, 0), cell(a, 1), cell(c, 0), cell(b, 0), cell(d, None)]
    outcomes = {cells[0].name: CellResult(1.0, 9.0), cells[3].name: CellResult(3.0, 9.0)}
    found = summarize(cells, outcomes)
    assert [line.row for line in found] == [a, b, c, d]
    assert [line.values for line in found] == [(1.0,), (3.0,), (), ()]
    assert [line.planned for line in found] == [2, 1, 1, 1]
    assert [line.seeded for line in found] == [True, True, True, False]


def test_text__shows_the_papers_number_as_the_papers(lines):
    text = text_table(lines, ["a note"]).splitlines()
    assert text[0] == "linear, ADE (mIoU [%], higher is better)"
    assert text[3].split() == ["ViT-S", "none", "42.00", "±", "2.00", "3", "-"]
    assert text[4].endswith("test-time register  50.25 ± 0.35   2 of 3  47.60 ± 0.15 [1]")
    assert len({len(line) for line in text if line.startswith("ViT")}) == 1
    assert (
        "published: the papers' own numbers, by their own protocols; none was measured here."
        in (text[-3])
    )
    assert text[-2:] == ["[1] TTR paper, Table 13", "a note"]


def test_text__without_published_numbers_does_not_speak_of_them(lines):
    assert "papers" not in text_table(lines[:1])


def test_markdown__is_one_table(lines):
    text = markdown_table(lines, ["a note"]).splitlines()
    columns = [line.replace("\\|", "").count("|") for line in text[:6]]
    assert columns == [8] * 6
    boxes = "| LOST, VOC | CorLoc [%], higher is better | ViT\\|S | trained registers |"
    assert f"{boxes} 61.2 | no seed | - |" in text
    assert text[-2:] == ["- [1] TTR paper, Table 13", "- a note"]


def test_csv__keeps_all_digits_and_the_paper_apart(lines):
    rows = list(csv.DictReader(io.StringIO(csv_table(lines))))
    assert float(rows[1]["std"]) == lines[1].std
    assert [row["mean"] for row in rows] == ["42.0", "50.25", "", "61.25"]
    assert [row["published"] for row in rows] == ["", "47.6", "", ""]
    assert rows[1]["published_std"] == "0.15"
    assert (rows[1]["repair"], rows[1]["unit"], rows[1]["runs_planned"]) == (
        "test_time",
        "%",
        "3",
    )


def test_csv_cells__one_row_per_run(lines):
    cells = [cell(lines[0].row, 0), cell(lines[0].row, 1), cell(lines[3].row, None)]
    outcomes = {cells[0].name: CellResult(1 / 3, 2.04)}
    failed = {cells[1].name: 'out of "memory", sorry'}
    rows = list(csv.DictReader(io.StringIO(csv_cells(cells, outcomes, failed))))
    assert float(rows[0]["value"]) == 1 / 3
    assert [row["seed"] for row in rows] == ["0", "1", ""]
    assert [row["failed"] for row in rows] == ["", 'out of "memory", sorry', ""]
