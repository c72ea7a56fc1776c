"""Operations counted against formulas."""

import pytest
import torch
from torch.nn import functional as F

from ttr_backbones.bench.cost import attention_flops, cost_of, count_flops
from ttr_backbones.bench.row import Cost

B, N, C, DEPTH, PATCH = 3, 17, 32, 4, 16


@pytest.mark.parametrize("mode", [torch.no_grad, torch.inference_mode])
def test_count_flops__of_a_vit(make_vit, mode):
    vit, images = make_vit(), torch.randn(B, 3, 64, 64)
    embed = (N - 1) * 3 * PATCH**2 * C
    attention = 4 * N * C * C + 2 * N * N * C
    mlp = 8 * N * C * C

    @mode()
    def run():
        vit.forward_features(images)

    assert count_flops(run) == 2 * B * (embed + DEPTH * (attention + mlp))


def test_count_flops__of_attention_with_other_keys():
    q, k, v = (torch.randn(2, 4, n, 8) for n in (10, 7, 7))
    flops = 2 * 2 * 4 * 10 * 7 * (8 + 8)
    with torch.no_grad():
        assert count_flops(lambda: F.scaled_dot_product_attention(q, k, v)) == flops
    assert attention_flops(q.shape, k.shape, v.shape) == flops


def test_count_flops__has_the_gradient():
    """A weight's gradient is one more product of the size of the forward one."""
    layer, x = torch.nn.Linear(16, 32), torch.ones(5, 16)
    assert count_flops(lambda: layer(x).sum().backward()) == 2 * 2 * 5 * 16 * 32


def test_cost_of__counts_both_in_one_run():
    a, ran = torch.ones(8, 8), []

    def run():
        ran.append(1)
        return a @ a

    assert cost_of(run, [a], torch.device("cpu")) == Cost(flops=2 * 8**3, peak=2 * a.nbytes)
    assert len(ran) == 1
