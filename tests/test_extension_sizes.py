"""The sizes of extensions, as ttr_backbones/README.md states them."""

import re
from pathlib import Path
from statistics import median

import ttr_backbones
from ttr_backbones.recipes import axis_files

PACKAGE = Path(ttr_backbones.__file__).parent


def lines_of(text):
    return len(text.splitlines())


def examples(readme):
    return re.findall(r"```python\n(.*?)```", readme.read_text(encoding="utf-8"), re.DOTALL)


def file_lines(axis):
    return sorted(lines_of(path.read_text(encoding="utf-8")) for path in axis_files(axis).values())


def test_readme__states_the_measured_sizes_of_extensions():
    """The examples of a repair and a task are run by other tests, as they stand in the READMEs."""
    config, module = examples(PACKAGE / "README.md")
    (task,) = examples(PACKAGE / "tasks" / "README.md")
    backbones, protocols = file_lines("backbones"), file_lines("protocols")
    text = (PACKAGE / "README.md").read_text(encoding="utf-8")
    stated = re.findall(r"^\| .* \| (\d) \| (.*) \|$", text, re.MULTILINE)
    assert stated == [
        ("0", "0"),
        ("1", f"{backbones[0]} to {backbones[-1]}"),
        ("1", f"{protocols[0]} to {protocols[-1]}, median {median(protocols):.0f}"),
        ("2", f"{lines_of(module)} + {lines_of(config)}"),
        ("1", f"{lines_of(task)}"),
    ]
