import logging
from types import SimpleNamespace

import pytest
import torch
from mmengine.logging import HistoryBuffer
from torch import nn

from ttr_backbones.engine import SafeCheckpoint
from ttr_backbones.errors import InputError


def make_runner(**cfg):
    logger = logging.getLogger("test_safe_checkpoint")
    return SimpleNamespace(
        cfg={"load_from": "a.pth"} | cfg, model=nn.Linear(2, 1), logger=logger, iter=3
    )


def saved(runner, hook, **info):
    checkpoint = {
        "meta": {"iter": 3},
        "state_dict": runner.model.state_dict(),
        "optimizer": {},
        "message_hub": {
            "log_scalars": {"train/loss": HistoryBuffer([1.0], [1])},
            "runtime_info": info,
            "resumed_keys": {},
        },
    }
    hook.before_save_checkpoint(runner, checkpoint)
    return checkpoint


def test_checkpoint__is_plain_on_disk_and_whole_in_memory(tmp_path):
    runner, hook = make_runner(resume=True), SafeCheckpoint()
    torch.save(saved(runner, hook, best=torch.tensor(1.0)), tmp_path / "a.pth")
    expected = torch.rand(3)
    checkpoint = torch.load(tmp_path / "a.pth", weights_only=True)
    hook.after_load_checkpoint(runner, checkpoint)
    assert checkpoint["message_hub"]["log_scalars"]["train/loss"].current() == 1.0
    hook.before_train(runner)
    assert torch.equal(torch.rand(3), expected)


def test_checkpoint__says_what_it_leaves_out(caplog):
    checkpoint = saved(make_runner(), SafeCheckpoint(), model=nn.Identity(), best=0.5)
    assert checkpoint["message_hub"]["runtime_info"] == {"best": 0.5}
    assert "message_hub['model'] holds a Identity of torch.nn" in caplog.text


def test_validation__does_not_move_the_random_state():
    hook = SafeCheckpoint()
    state = torch.get_rng_state()
    expected = torch.rand(3)
    torch.set_rng_state(state)
    hook.before_val(None)
    torch.rand(7)
    in_validation = saved(make_runner(), hook)["random_state"]["cpu"]
    hook.after_val(None)
    assert torch.equal(in_validation, state)
    assert torch.equal(torch.rand(3), expected)


@pytest.mark.parametrize(
    ("content", "described"),
    [
        ([1, 2], "got a list"),
        ({"epoch": 3}, r"got a dict with the keys \['epoch'\]"),
        ({"state_dict": {}}, r"got a dict with the keys \['state_dict'\]"),
    ],
)
def test_file_without_tensors(content, described):
    with pytest.raises(InputError, match=f"a.pth holds no tensors by name.*{described}"):
        SafeCheckpoint().after_load_checkpoint(make_runner(), content)


def test_resume__needs_more_than_weights():
    runner = make_runner(resume=True)
    with pytest.raises(
        InputError, match="cannot be resumed: it lacks meta, message_hub, optimizer"
    ):
        SafeCheckpoint().after_load_checkpoint(runner, {"state_dict": runner.model.state_dict()})
