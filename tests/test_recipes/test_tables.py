"""The tables in configs/README.md are made from the published numbers and the recipes."""

import pytest

from ttr_backbones.errors import InputError
from ttr_backbones.package_data import configs_dir
from ttr_backbones.recipes import parse_name, protocol_files, published_numbers, tables
from ttr_backbones.tasks import TASKS


def test_the_readme_has_the_tables_that_the_command_makes(tmp_path, monkeypatch):
    text = (configs_dir() / "README.md").read_text(encoding="utf-8")
    monkeypatch.setattr(tables, "configs_dir", lambda: tmp_path)
    (tmp_path / "README.md").write_text(text, encoding="utf-8")
    tables.write_tables()
    assert (tmp_path / "README.md").read_text(encoding="utf-8") == text
    (tmp_path / "README.md").write_text("nothing")
    with pytest.raises(InputError, match="expected one line"):
        tables.write_tables()


def test_every_number_is_in_the_cell_of_its_recipe():
    lines = [line.strip("|").split("|") for line in tables.tables().splitlines() if "|" in line]
    cells, header = {}, []
    for first, *rest in lines:
        if not first.strip():
            header = [cell.strip(" `") for cell in rest]
        elif "---" not in first:
            row = first.strip(" `")
            turned = row in protocol_files()  # a table of many protocols has a row for each
            named = (f"{column}_{row}" if turned else f"{row}_{column}" for column in header)
            cells |= dict(zip(named, rest, strict=True))
    assert all(str(parse_name(name)) == name for name in cells)
    metrics = {task.metric.name for task in TASKS.values()}
    for row in published_numbers():
        if row.metric in metrics:
            name = "_".join(filter(None, (row.backbone, row.repair, row.protocol)))
            shown = f"{row.value} ± {row.std}" if row.std else row.value
            assert f"{shown} [" in cells[name]
