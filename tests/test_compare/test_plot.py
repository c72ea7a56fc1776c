"""The bars that are drawn, by their numbers."""

import cv2
import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.colors import to_hex

from ttr_backbones.compare.plot import draw_table
from ttr_backbones.compare.repair_names import repair_colour


@pytest.fixture
def drawn(monkeypatch):
    """What was drawn: (height, color) of bars, (value, deviation) of error bars."""
    found = {"bars": [], "errors": [], "titles": []}
    bar, errorbar, set_title = Axes.bar, Axes.errorbar, Axes.set_title

    def spy_bar(axis, x, height, *args, **kwargs):
        found["bars"].append((height, kwargs["color"]))
        return bar(axis, x, height, *args, **kwargs)

    def spy_errorbar(axis, x, y, yerr, **kwargs):
        found["errors"].append((y, yerr))
        return errorbar(axis, x, y, yerr, **kwargs)

    def spy_title(axis, text, **kwargs):
        found["titles"].append(text)
        return set_title(axis, text, **kwargs)

    monkeypatch.setattr(Axes, "bar", spy_bar)
    monkeypatch.setattr(Axes, "errorbar", spy_errorbar)
    monkeypatch.setattr(Axes, "set_title", spy_title)
    return found


def test_plot__a_bar_per_measured_line_and_deviations(lines, drawn, tmp_path):
    draw_table(lines, tmp_path / "table.png")
    assert drawn["bars"] == [
        (42.0, repair_colour("none")),
        (50.25, repair_colour("test_time")),
        (61.25, repair_colour("trained")),
    ]
    assert drawn["errors"] == [(42.0, 2.0), (47.6, 0.15), (50.25, lines[1].std)]
    assert drawn["titles"] == ["linear, ADE", "linear, NYU", "LOST, VOC"]


def test_plot__shows_the_colors_in_print_quality(lines, tmp_path):
    draw_table(lines, tmp_path / "table.png")
    image = cv2.cvtColor(cv2.imread(str(tmp_path / "table.png")), cv2.COLOR_BGR2RGB)
    assert min(image.shape[:2]) >= 600
    for color in map(repair_colour, ("none", "test_time", "trained")):
        rgb = [int(to_hex(color)[at : at + 2], 16) for at in (1, 3, 5)]
        assert (image == np.array(rgb)).all(-1).mean() > 0.003, color


def test_plot__of_many_backbones_and_tasks_stays_on_a_page(lines, tmp_path):
    from dataclasses import replace

    many = [
        replace(lines[0], row=replace(lines[0].row, backbone=f"ViT-{b}", task=f"task {t}"))
        for b in range(12)
        for t in range(4)
    ]
    draw_table(many, tmp_path / "table.png")
    assert cv2.imread(str(tmp_path / "table.png")).shape[1] <= 200 * 15
