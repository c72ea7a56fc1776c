"""What the swapped classes do with torch's own tools."""

import pytest
import torch
from torch import nn

from ttr_backbones.errors import InputError
from ttr_backbones.registers import add_test_time_registers


def test_script__is_refused_in_one_line_and_trace_works(make_vit):
    vit = add_test_time_registers(make_vit(), {1: [3], 2: [7]})
    for module in (vit, nn.Sequential(vit)):
        with pytest.raises(InputError, match=r"^torch.jit.script cannot .*torch.export.*$"):
            torch.jit.script(module)
    x = torch.randn(2, 3, 64, 64)
    torch.testing.assert_close(torch.jit.trace(vit, x[:1])(x), vit(x))
