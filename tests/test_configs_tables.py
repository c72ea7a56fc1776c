"""The table of each config folder lists every config, with the numbers of its docstring."""

import re

import pytest

from ttr_backbones.compare.published import docstring, published_numbers
from ttr_backbones.packaged import configs_dir

TASKS = ("segmentation", "depth", "object_discovery")


def cells(folder):
    """{config: text of its cell}, of the table of a README."""
    lines = (folder / "README.md").read_text(encoding="utf-8").splitlines()
    header, _, *rows = [
        [cell.strip() for cell in line.strip("|").split("|")]
        for line in lines
        if line.startswith("|")
    ]
    return {
        f"{row[0].strip('`')}_{column.strip('`')}": cell
        for row in rows
        for column, cell in zip(header[1:], row[1:], strict=True)
        if cell
    }


@pytest.mark.parametrize("task", TASKS)
def test_every_config_has_its_cell(task):
    folder = configs_dir() / task
    names = {path.stem for path in folder.glob("*.py")}
    trials = {name for name in names if name.endswith("_200it")}
    assert cells(folder).keys() == names - trials
    text = (folder / "README.md").read_text(encoding="utf-8")
    assert all(f"`{trial}`" in text for trial in trials)


@pytest.mark.parametrize("task", TASKS)
def test_numbers_are_those_of_the_docstrings_and_marked_as_the_papers(task):
    folder = configs_dir() / task
    for name, cell in cells(folder).items():
        told = [number.shown for number in published_numbers(docstring(folder / f"{name}.py"))]
        shown = [] if cell == "·" else re.sub(r" \[\w+\]", "", cell).split("<br>")
        assert shown == told, name
    text = (folder / "README.md").read_text(encoding="utf-8")
    assert "none of them was measured here" in text
    used = set(re.findall(r"\[(\w+)\]", "".join(cells(folder).values())))
    assert all(re.search(rf"^\[{short}\] ", text, re.MULTILINE) for short in used)
