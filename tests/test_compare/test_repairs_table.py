"""One row per repair: effects, tasks and costs, from known numbers; kinds that are files."""

import csv
import io

import pytest
import torch

from ttr_backbones.app.vit_source import config_source, vit_with_classifier
from ttr_backbones.compare.control_models import backbone_of_artifact
from ttr_backbones.compare.options import ConfigChanges
from ttr_backbones.compare.plan import TableRow, make_plan
from ttr_backbones.compare.repair_names import (
    check_repair,
    repair_file,
    repair_folder,
    repair_label,
)
from ttr_backbones.compare.repairs_table import html_page, repair_tables
from ttr_backbones.compare.side_effects import SideEffect, measure_side_effects
from ttr_backbones.compare.summary import Line, summarize
from ttr_backbones.compare.table import csv_table, markdown_table, text_table
from ttr_backbones.errors import InputError
from ttr_backbones.registers import RegisterNeurons
from ttr_backbones.repairs import REPAIRS
from ttr_backbones.repairs.effects import Effect
from ttr_backbones.repairs.fit_facts import NOTHING, FitFacts
from ttr_backbones.vits.weights_hash import weights_hash

TAG = "vit_tiny_patch16_224.augreg_in21k_ft_in1k"
CONFIG = "augreg_vitt16_linear_ade20k_200it"


@pytest.fixture
def side_effects():
    costs = torch.zeros(1, 2)
    before = Effect(0.0201, 0.0204, 583.04, 1.0, 1.0, 1.0, 0, 1.0, costs)
    after = Effect(0.0, 0.0, 23.5, 0.98345, 0.9, None, 1, 1.021, costs)
    return {
        ("ViT-S", "none"): SideEffect(before, NOTHING),
        ("ViT-S", "test_time"): SideEffect(after, FitFacts(0, 41, 0, 1.5)),
    }


def test_tables__have_the_tasks_between_effects_and_costs(lines, side_effects):
    first, other = repair_tables(lines, side_effects)
    assert (first.backbone, other.backbone) == ("ViT-S", "ViT|S")
    assert [row.kind for row in first.rows] == ["none", "test_time"]
    none, repaired = first.rows
    assert none.effects == ["2.01 %", "2.04 %", "583.0", "1.000", "100 %", "100 %"]
    assert repaired.effects == ["0 %", "0 %", "23.5", "0.983", "90 %", "-"]
    assert repaired.tasks == [("50.25 ± 0.35", "47.60 ± 0.15"), ("-", "-")]
    assert repaired.costs == ["1", "0", "41", "1.50", "1.02"]
    assert none.costs == ["0", "0", "0", "0.00", "1.00"]
    assert (other.effects, other.costs) == ([], [])


def test_forms__text_markdown_csv_html(lines, side_effects):
    text = text_table(lines, ["a note"], side_effects)
    assert "\nViT-S: what the repairs do, and cost\n" in text
    assert "583.0" in text
    assert text.endswith("a note\n")
    markdown = markdown_table(lines, [], side_effects)
    assert "| 0.983 | 90 % | - | 50.25 ± 0.35 (paper: 47.60 ± 0.15) | - | 1 | 0 | 41 |" in markdown
    rows = list(csv.DictReader(io.StringIO(csv_table(lines, side_effects))))
    assert float(rows[1]["cosine"]) == pytest.approx(0.98345)
    assert (rows[1]["fit_minutes"], rows[3]["cosine"]) == ("1.5", "")
    assert "cosine" not in csv_table(lines).splitlines()[0]
    page = html_page(repair_tables(lines, side_effects), ["1 < 2"], "compared")
    assert "50.25 ± 0.35<br><small>paper: 47.60 ± 0.15</small>" in page
    assert "<li>1 &lt; 2</li>" in page
    assert "://" not in page, "it needs no network"


def test_kinds__may_be_files(tmp_path):
    listed = tmp_path / "mine.json"
    RegisterNeurons(TAG, {7: [417]}).save(listed)
    artifact = tmp_path / "mine.safetensors"
    REPAIRS["bias"].shipped(TAG).save(artifact)
    for path in (listed, artifact):
        check_repair(str(path))
    assert repair_label(str(artifact)) == "test-time register as bias, mine"
    assert repair_folder(str(artifact)) == "mine.safetensors"
    assert repair_file(str(artifact)) == "bias"
    with pytest.raises(InputError, match=r"no register-neuron list at nowhere.json"):
        check_repair("nowhere.json")
    control = f"{listed}:random"
    kinds = ["none", str(artifact), str(listed), control, "trained"]
    plan = make_plan([CONFIG], kinds, [0], tmp_path, ConfigChanges())
    repairs = [cell.cfg.model.backbone.get("repair") for cell in plan.cells]
    assert repairs[1] == {"type": "bias", "artifact": str(artifact)}
    assert (repairs[0], repairs[2]["neurons"]) == (None, str(listed))
    assert repairs[3] == repairs[2] | {"control": "random"}
    assert len({cell.folder for cell in plan.cells}) == 4
    lines = summarize(plan.cells, {})
    words = "test-time register, random neurons (control), mine"
    for table in (
        text_table(lines),
        markdown_table(lines),
        html_page(repair_tables(lines, {}), [], ""),
    ):
        assert words in table
    rows = csv.DictReader(io.StringIO(csv_table(lines)))
    assert [row["control"] for row in rows] == ["False", "False", "False", "True"]
    with pytest.raises(InputError, match="unknown control of test_time 'randm'"):
        check_repair("test_time:randm")
    # What does not fit has a row of its own, and the note says why.
    last = summarize(plan.cells, {}, plan.left_out)[-1]
    assert (last.row.repair, last.measured, last.runs) == ("trained", "-", "-")
    assert plan.notes[-1].startswith(f"{CONFIG}, trained is left out: no backbone with trained")


def test_measure__of_a_plan(shared, tiny_weights, tmp_path):
    options = ConfigChanges(cfg_options=[f"model.backbone.checkpoint={tiny_weights}"])
    plan = make_plan([CONFIG], ["none", "test_time"], [0, 1], tmp_path, options)
    folder = tmp_path / "photos"
    folder.mkdir()
    for file in sorted((shared / "data" / "photos").iterdir())[:2]:
        (folder / file.name).symlink_to(file)
    found, notes = measure_side_effects(plan.cells, folder)
    (title,) = {backbone for backbone, _ in found}
    before, after = (found[title, kind] for kind in ("none", "test_time"))
    assert before.effect.outliers > 0.01 > after.effect.outliers == after.effect.along == 0
    assert (before.fit, after.fit.images) == (NOTHING, 41)
    assert notes[0].startswith(
        f"{title}: side effects on 2 photographs of 224 x 224 px; an outlier"
    )
    artifact = tmp_path / "bias.safetensors"
    REPAIRS["bias"].shipped(TAG).save(artifact)
    backbone = backbone_of_artifact(artifact, [CONFIG], options)
    vit = vit_with_classifier(config_source(backbone))
    assert weights_hash(vit) == REPAIRS["bias"].shipped(TAG).provenance["weights_sha256"]
    bare = make_plan([CONFIG], ["none"], [0], tmp_path, ConfigChanges(
        cfg_options=["model.backbone.pretrained=False", "model.backbone.checkpoint=None"]
    ))  # fmt: skip
    found, notes = measure_side_effects(bare.cells, folder)
    assert found == {}
    assert notes == [f"{title}: side effects could not be measured: the backbone has no weights"]


def test_line__of_a_row_without_a_run(lines):
    row = lines[0].row
    assert isinstance(row, TableRow)
    assert Line(row, (), 0, False).runs == "-"
