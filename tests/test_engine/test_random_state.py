import torch

from ttr_backbones.engine.random_state import random_state, set_random_state


def test_random_state__is_repeated():
    state = random_state()
    first = torch.rand(5)
    set_random_state(state)
    assert torch.equal(torch.rand(5), first)
