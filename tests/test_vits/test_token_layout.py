"""Where tokens are: the parts of a sequence, once each and in order."""

import pytest
import torch

from ttr_backbones.errors import InputError
from ttr_backbones.registers import add_test_time_registers
from ttr_backbones.vits.family import family_of
from ttr_backbones.vits.tokens import TokenLayout


@pytest.mark.parametrize("num_registers", [0, 1, 3])
@pytest.mark.parametrize(("num_cls", "num_trained"), [(1, 0), (1, 4), (0, 0), (0, 4)])
def test_layout__parts_are_the_sequence(num_cls, num_trained, num_registers):
    layout = TokenLayout(num_cls, num_trained, num_registers, grid=(2, 3))
    tokens = torch.arange(num_cls + num_trained + num_registers + 6).view(1, -1, 1)
    layout.check(tokens)
    parts = (layout.cls, layout.trained, layout.registers, layout.patches)
    assert [tokens[:, part].shape[1] for part in parts] == [num_cls, num_trained, num_registers, 6]
    assert torch.equal(torch.cat([tokens[:, part] for part in parts], dim=1), tokens)
    assert torch.equal(torch.cat(layout.split(tokens), dim=1), tokens)


def test_layout__names_both_shapes():
    layout = TokenLayout(1, 4, 2, grid=(3, 5))
    with pytest.raises(InputError, match=r"4 trained \+ 2 test-time .* 3 x 5 .*got \(2, 21, 8\)"):
        layout.check(torch.zeros(2, 21, 8))
    with pytest.raises(InputError, match=r"N patches, C\], got \(2, 6, 8\)"):
        TokenLayout(1, 4, 2).check(torch.zeros(2, 6, 8))


def test_layout__of_a_model_counts_its_registers(make_vit):
    vit = add_test_time_registers(make_vit(reg_tokens=4), {1: [3]}, num=2)
    assert family_of(vit).layout(vit, (4, 4)) == TokenLayout(1, 4, 2, (4, 4))
