import copy

import pytest
import torch
from soaking.judgement import broken_files, differences

STATE = {
    "state_dict": {"weight": torch.tensor([1.0, 2.0])},
    "optimizer": {"state": {0: {"step": torch.tensor(3.0)}}, "param_groups": [{"lr": 0.5}]},
    "param_schedulers": [{"last_step": 3}],
    "random_state": {"cpu": torch.tensor([7], dtype=torch.uint8)},
    "message_hub": {"log_scalars": {"train/loss": {"values": torch.tensor([0.5])}, "val/a": 1}},
}


def saved(folder, name, state):
    torch.save(state, folder / name)
    return folder / name


def test_equal_states__do_not_differ(tmp_path):
    other = copy.deepcopy(STATE)
    other["message_hub"]["log_scalars"]["val/a"] = 2  # a validation may run again
    other["meta"] = {"time": "later"}
    assert not list(differences(saved(tmp_path, "a", STATE), saved(tmp_path, "b", other)))


@pytest.mark.parametrize(
    ("part", "change", "named"),
    [
        ("state_dict", {"weight": torch.tensor([1.0, 2.0000002])}, "state_dict.weight"),
        ("state_dict", {}, "state_dict"),
        ("optimizer", {"state": {}, "param_groups": [{"lr": 0.5}]}, "optimizer.state"),
        ("param_schedulers", [{"last_step": 4}], "param_schedulers.0.last_step"),
        ("param_schedulers", [], "param_schedulers"),
        ("random_state", {"cpu": torch.tensor([8], dtype=torch.uint8)}, "random_state.cpu"),
        (
            "message_hub",
            {"log_scalars": {"train/loss": {"values": torch.tensor([0.25])}}},
            "train/loss.values",
        ),
    ],
)
def test_a_bit_that_differs__is_named(tmp_path, part, change, named):
    paths = saved(tmp_path, "a", STATE), saved(tmp_path, "b", {**STATE, part: change})
    assert list(differences(*paths)) == [named]


def test_broken_files__are_named(tmp_path):
    saved(tmp_path, "iter_4.pth", STATE)
    cut = saved(tmp_path, "iter_8.pth", STATE)
    cut.write_bytes(cut.read_bytes()[:-1])
    log = tmp_path / "20260101" / "vis_data" / "scalars.json"
    log.parent.mkdir(parents=True)
    log.write_text('{"loss": 1}\n{"lo')
    assert list(broken_files(tmp_path)) == [
        "iter_8.pth is broken",
        "scalars.json, line 2 is broken: '{\"lo'",
    ]
