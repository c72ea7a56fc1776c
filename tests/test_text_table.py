"""Columns of plain text."""

from ttr_backbones.text_table import aligned


def test_aligned__words_left_numbers_right():
    rows = [["model", "n"], ["[bold]a[/] :x:", "12"], ["b"], ["", "7"]]
    assert aligned(rows, "lr") == [
        "model            n",
        "[bold]a[/] :x:  12",
        "b",
        "                 7",
    ]


def test_aligned__is_never_cut_nor_coloured(monkeypatch):
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "20")
    rows = [[300 * "a", "x"], ["http://b.c/1.5", 300 * "y"]]
    assert aligned(rows, "ll", gap=1) == [300 * "a" + " x", f"{'http://b.c/1.5':301}" + 300 * "y"]


def test_aligned__of_nothing():
    assert aligned([], "lr") == []
    assert aligned([[""], ["a"]], "l") == ["", "a"]
