from types import SimpleNamespace

import pytest
import torch
from mmengine.logging import MessageHub

from ttr_backbones.engine import StopOnNaN
from ttr_backbones.errors import InputError


def make_runner(loss):
    hub = MessageHub.get_instance(f"test_stop_on_nan_{loss}")
    hub.update_scalar("train/loss", loss)
    optim_wrapper = SimpleNamespace(get_lr=lambda: {"lr": [0.25]})
    return SimpleNamespace(message_hub=hub, iter=41, optim_wrapper=optim_wrapper)


def test_finite_loss__passes():
    StopOnNaN().after_train_iter(make_runner(1.5), 0)


@pytest.mark.parametrize("loss", [float("nan"), float("inf")])
def test_loss_that_is_no_number__stops(loss):
    with pytest.raises(InputError, match=rf"the loss is {loss} at iteration 42 \(lr=0.25\).*Lower"):
        StopOnNaN().after_train_iter(make_runner(loss), 0)


def test_broken_weights__are_not_saved():
    state = {"a": torch.ones(2), "b": torch.tensor([1.0, float("nan")]), "c": torch.tensor(3)}
    with pytest.raises(InputError, match="b is not finite after iteration 42; no checkpoint was"):
        StopOnNaN().before_save_checkpoint(make_runner(1.5), {"state_dict": state})
