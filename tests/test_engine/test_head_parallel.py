"""What is frozen costs no communication, what is trained is the same in all processes."""

import copy

import torch
from mmengine.registry import MODEL_WRAPPERS
from torch import distributed, nn

from ttr_backbones.engine import HeadDistributedDataParallel
from ttr_backbones.losses import SigLoss


class Probe(nn.Module):
    """A frozen backbone with a buffer, a partly frozen head, and a loss that counts."""

    def __init__(self):
        super().__init__()
        self.backbone = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4)).requires_grad_(False)
        self.decode_head = nn.Sequential(nn.Linear(4, 4), nn.BatchNorm1d(4), nn.Linear(4, 1))
        self.decode_head[0].requires_grad_(False)
        self.backbone.eval()
        self.loss = SigLoss()

    def forward(self, x):
        return self.decode_head(self.backbone(x))


def wrapped():
    """Tensors of a probe that differs in every process, after wrapping; and its gradients."""
    torch.manual_seed(distributed.get_rank())
    probe = Probe()
    probe.backbone[1].running_mean.fill_(distributed.get_rank())
    model = MODEL_WRAPPERS.build(
        {"type": "HeadDistributedDataParallel", "module": probe, "device_ids": [7]}
    )
    assert isinstance(model, HeadDistributedDataParallel)
    model(torch.randn(5, 3)).sum().backward()
    state = {name: tensor.clone() for name, tensor in probe.state_dict().items()}
    return state, {name: weight.grad for name, weight in probe.named_parameters()}


def test_frozen_tensors_stay_and_trained_ones_become_those_of_the_first(two_processes):
    (first, first_gradients), (second, second_gradients) = [
        outcome.value for outcome in two_processes(wrapped)
    ]
    own = {name for name in first if not torch.equal(first[name], second[name])}
    assert own == {
        *("backbone.0.weight", "backbone.0.bias", "backbone.1.running_mean"),
        *("decode_head.0.weight", "decode_head.0.bias"),
        # Broadcast at the start, and fed with other images since.
        *("decode_head.1.running_mean", "decode_head.1.running_var"),
    }
    for name, gradient in first_gradients.items():
        if name.startswith(("backbone.", "decode_head.0.")):
            assert gradient is None is second_gradients[name]
        else:
            assert torch.equal(gradient, second_gradients[name])


def without_training():
    frozen = nn.Linear(2, 2).requires_grad_(False)
    return HeadDistributedDataParallel(module=frozen, device_ids=[0]) is frozen


def test_a_model_without_training_stays_as_it_is(two_processes):
    assert [outcome.value for outcome in two_processes(without_training)] == [True, True]


def depth_and_truth(rank):
    generator = torch.Generator().manual_seed(rank)
    x = torch.rand(2, 1, 6, 6, generator=generator) + 0.5
    return x, torch.rand(2, 1, 6, 6, generator=generator) * 9 + 0.5


def depth_gradient():
    """The gradient of SigLoss through the wrapper."""
    torch.manual_seed(0)
    x, truth = depth_and_truth(distributed.get_rank())
    model = HeadDistributedDataParallel(nn.Conv2d(1, 1, 1))
    SigLoss(warm_up=0)(model(x).exp(), truth).backward()
    return model.module.weight.grad


def test_a_depth_loss_is_of_each_process_s_images(two_processes):
    """As in the published protocol: its variance is not one over all processes' pixels."""
    torch.manual_seed(0)
    conv, gradients = nn.Conv2d(1, 1, 1), []
    for rank in range(2):
        alone = copy.deepcopy(conv)
        x, truth = depth_and_truth(rank)
        SigLoss(warm_up=0)(alone(x).exp(), truth).backward()
        gradients.append(alone.weight.grad)
    assert not torch.allclose(*gradients, rtol=0.01)
    for outcome in two_processes(depth_gradient):
        torch.testing.assert_close(outcome.value, sum(gradients) / 2)
