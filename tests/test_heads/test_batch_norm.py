"""Batch norm over two processes against torch's over the whole batch."""

import torch
from torch import nn

from ttr_backbones.heads.batch_norm import SharedBatchNorm, batch_norm

PARTS = (slice(0, 2), slice(2, 5))  # of five images, not the same number each


def data():
    generator = torch.Generator().manual_seed(0)
    maps = torch.randn(5, 3, 4, 6, generator=generator) * 3 + 7
    return maps, torch.randn(5, 3, 4, 6, generator=generator)


def two_steps(norm, maps, wanted):
    """What two training steps and an evaluation give; the losses are sums over the images."""
    told = {}
    with torch.no_grad():
        norm.weight.copy_(torch.tensor([0.5, 1.0, 2.0]))
    for step in range(2):
        x = (maps + step).requires_grad_()
        y = norm(x)
        (y.square() * wanted).sum().backward()
        told |= {f"out {step}": y.detach(), f"gradient {step}": x.grad}
    with torch.no_grad():
        told["evaluated"] = norm.eval()(maps)
    summed = {"weight": norm.weight.grad, "bias": norm.bias.grad}
    return told, summed, norm.state_dict()


def of_process():
    part = PARTS[torch.distributed.get_rank()]
    norm = batch_norm(3)
    assert type(norm) is SharedBatchNorm
    maps, wanted = data()
    return two_steps(norm, maps[part], wanted[part])


def test_two_processes__equal_one_with_the_whole_batch(two_processes):
    whole, gradients, state = two_steps(nn.BatchNorm2d(3), *data())
    parts = [outcome.value for outcome in two_processes(of_process)]
    for name, expected in whole.items():
        torch.testing.assert_close(torch.cat([part[0][name] for part in parts]), expected)
    for name, expected in gradients.items():
        torch.testing.assert_close(sum(part[1][name] for part in parts), expected)
    for *_, own in parts:
        assert own.keys() == state.keys() == nn.SyncBatchNorm(3).state_dict().keys()
        for name, expected in state.items():
            torch.testing.assert_close(own[name], expected)


def test_alone__it_is_torch_s():
    assert type(batch_norm(3)) is nn.BatchNorm2d
