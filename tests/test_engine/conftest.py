import pytest
from torch import nn

import ttr_backbones.tasks  # noqa: F401 -- registers the kinds of heads
from ttr_backbones.engine.state_dict_check import check_fit
from ttr_backbones.errors import InputError


class Model(nn.Module):
    """Has the state dict that it is given."""

    def __init__(self, state):
        super().__init__()
        self.state = state

    def state_dict(self):
        return self.state


@pytest.fixture
def check():
    """Compare what a model needs with what a file holds: names of tensors left aside."""
    return lambda needed, state: check_fit(Model(needed), state, "the checkpoint a.pth")


@pytest.fixture
def message(check):
    """Error for a file that does not fit."""

    def of(state, needed):
        with pytest.raises(InputError) as caught:
            check(needed, state)
        return str(caught.value)

    return of
