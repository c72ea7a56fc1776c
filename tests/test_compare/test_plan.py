"""The cells that a command stands for."""

import pytest

from ttr_backbones.compare.options import ConfigChanges
from ttr_backbones.compare.plan import make_plan
from ttr_backbones.errors import InputError

ADE, VOC = "augreg_vitt16_linear_ade20k_200it", "augreg_vitt16_lost_voc07"


def test_plan__a_cell_per_seed_where_something_is_trained(tmp_path):
    plan = make_plan(
        [ADE, VOC], ["none", "test_time", "trained"], [3, 5], tmp_path, ConfigChanges()
    )
    assert [cell.name for cell in plan.cells] == [
        f"{ADE}, none, seed 3",
        f"{ADE}, none, seed 5",
        f"{ADE}, test_time, seed 3",
        f"{ADE}, test_time, seed 5",
        f"{VOC}, none",
        f"{VOC}, test_time",
    ]
    assert [cell.cfg.randomness.seed for cell in plan.cells[:4]] == [3, 5, 3, 5]
    assert len({cell.folder for cell in plan.cells}) == 6
    first = plan.cells[0]
    assert first.folder == tmp_path / "runs" / ADE / "none" / f"seed3-{first.fingerprint[:8]}"
    assert plan.cells[4].folder.name.startswith("run-")
    assert [row.task for row in dict.fromkeys(cell.row for cell in plan.cells)] == [
        "linear head, ADE20K in small: a trial run",
        "linear head, ADE20K in small: a trial run",
        "LOST, VOC 2007 trainval",
        "LOST, VOC 2007 trainval",
    ]
    assert [note.partition(" is left out")[0] for note in plan.notes] == [
        f"{ADE}, trained",
        f"{VOC}, trained",
    ]


def test_plan__is_the_same_again_and_another_for_another_config(tmp_path):
    def folders(*options):
        plan = make_plan([ADE], ["none"], [0], tmp_path, ConfigChanges(cfg_options=options))
        return [cell.folder for cell in plan.cells]

    assert folders() == folders()
    assert folders() != folders("optim_wrapper.optimizer.lr=1")


def test_plan__of_ms_configs_tests_with_tta(tmp_path):
    names = ["augreg_vitt16_ms_ade20k", "augreg_vitt16_linear_ade20k"]
    plan = make_plan(names, ["none"], [0], tmp_path, ConfigChanges())
    assert [cell.tta for cell in plan.cells] == [True, False]


def test_plan__an_untrained_head_is_not_tested(tmp_path):
    options = [f"{key}=None" for key in ("train_cfg", "train_dataloader", "optim_wrapper")]
    with pytest.raises(InputError, match="a head that never learned anything"):
        make_plan([ADE], ["none"], [0], tmp_path, ConfigChanges(cfg_options=options))
