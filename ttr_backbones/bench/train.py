"""`ttrb bench train`: one step of training a linear head on a frozen ViT, and many heads at once.

A step is what mmengine does in one: normalise the images, run backbone, head and loss, take the
gradient, and let the optimizer step.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import torch
from mmseg.models.decode_heads.decode_head import BaseDecodeHead
from torch import Tensor, nn

from ttr_backbones.backbones import TimmViT
from ttr_backbones.bench.benched_vit import BenchedVit
from ttr_backbones.bench.compile_counts import possible_variants
from ttr_backbones.bench.contestants import (
    BARE,
    TOKEN,
    Ours,
    PlainTimm,
    Wrapped,
    as_variant,
)
from ttr_backbones.bench.cost import cost_of
from ttr_backbones.bench.live_memory import peak_bytes
from ttr_backbones.bench.rounds import Log, measure, silent
from ttr_backbones.bench.row import BenchRow, Contestant, Cost, Measured, patch_tokens
from ttr_backbones.bench.training import Training, TrainSetting, make_training, random_batch
from ttr_backbones.bench.variants import VARIANTS, Variant
from ttr_backbones.errors import InputError
from ttr_backbones.heads import LinearSegHead
from ttr_backbones.registers import RegisterNeurons, add_test_time_registers
from ttr_backbones.vits.class_swap import sharing_copy

PLAIN = "plain timm, mmseg's loss"
LOSS_STRIDE = 2  # of the heads whose loss takes a part of the pixels
GOAL_PROBES = 1.3  # time of eight heads in one pass over that of one head


class MmsegLossHead(LinearSegHead):
    """The linear head as mmseg computes it: layer by layer, and its loss on logits at full size."""

    loss_by_feat = BaseDecodeHead.loss_by_feat

    def forward(self, inputs: Sequence[Tensor]) -> Tensor:
        """Maps [B, C, h, w] -> logits [B, K, h, w]."""
        return self.cls_seg(self.bn(self._transform_inputs(inputs)))


def bench_train(
    benched: BenchedVit,
    *,
    setting: TrainSetting | None = None,
    heads: int = 8,
    batch_sizes: Sequence[int] = (2,),
    variants: Sequence[Variant] = (VARIANTS["eager"],),
    rounds: int = 5,
    device: torch.device | None = None,
    log: Log = silent,
) -> Measured:
    """Time a training step of a linear segmentation head on random images.

    Args:
        benched: the ViT and its register neurons.
        setting: what is trained.
        heads: to train at once, beside one alone; at least 2.
        batch_sizes: images per step.
        variants: ways to run the backbone; the heads are eager and in fp32.
        rounds: medians are over these.
        device: the CPU by default.
        log: called with lines of progress.

    Raises:
        InputError: see `BenchedVit`; less than two heads at once; nothing but compiled variants
            where nothing can be compiled.
    """
    if heads < 2:
        raise InputError(f"heads={heads}: expected at least 2 to train at once")
    device, setting = device or torch.device("cpu"), setting or TrainSetting()
    backbone = benched.backbone()
    neurons = benched.chosen_neurons(backbone)
    variants, notes = possible_variants("train", variants, device)
    backbone.to(device)
    rows: list[BenchRow] = []
    losses: dict[str, float] = {}
    for batch_size in batch_sizes:
        batch = random_batch(setting, batch_size, device)
        contestants = []
        for variant in variants:
            log(f"train: {variant.name}, batch of {batch_size}")
            trainings = make_trainings(backbone, neurons, variant, setting, batch, heads)
            losses = {name: training.step()["loss"].item() for name, training in trainings.items()}
            tokens = patch_tokens(batch_size, (setting.size, setting.size), backbone.patch_size)
            common = {"images": batch_size, "batch_size": batch_size, "tokens": tokens}
            contestants += _contestants(trainings, variant, heads, common)
        rows += measure("train", contestants, device, rounds=rounds, log=log)
        torch._dynamo.reset()  # noqa: SLF001 (each shape is compiled for itself)
    for name in (_heads_label(heads), _strided_label(heads)):
        losses[name] /= heads  # they tell their sum
    listed = ", ".join(f"{name} {loss:.4f}" for name, loss in losses.items())
    described = {
        **benched.setting(),
        "size": setting.size,
        "classes": setting.num_classes,
        **neurons.recorded_options,
        "rounds": rounds,
    }
    notes += [
        f"train: loss of the first step: {listed}",
        f"train: the ratios of several heads are over {BARE}, which trains one",
    ]
    return Measured("train", described, rows, notes, {"first_loss": losses})


def make_trainings(
    backbone: TimmViT,
    neurons: RegisterNeurons,
    variant: Variant,
    setting: TrainSetting,
    batch: Mapping[str, list[Any]],
    heads: int,
) -> dict[str, Training]:
    """Make the contestants, whose heads start from the same weights.

    Args:
        backbone: without registers; it stays as it is.
        neurons: register neurons, moved as the options of their list say.
        variant: how to run the backbone.
        setting: what is trained.
        batch: of `random_batch`.
        heads: to train at once.

    Returns:
        {name: training}: plain timm, ours without and with a register, several heads, several with
        the loss on every `LOSS_STRIDE`-th row and column of the pixels.
    """
    token = sharing_copy(backbone)
    add_test_time_registers(token.vit, neurons, **neurons.recorded_options)
    plain = sharing_copy(PlainTimm(backbone.vit), lambda _: not variant.bf16)
    usual = _AsBackbone(Wrapped(plain, variant, inference=False))
    common: dict[str, Any] = {"like": backbone, "setting": setting, "batch": batch}
    return {
        PLAIN: make_training(usual, head=MmsegLossHead, **common),
        BARE: make_training(_ours(backbone, variant), **common),
        TOKEN: make_training(_ours(token, variant), **common),
        _heads_label(heads): make_training(_ours(backbone, variant), heads=heads, **common),
        _strided_label(heads): make_training(
            _ours(backbone, variant), heads=heads, loss_stride=LOSS_STRIDE, **common
        ),
    }


def _heads_label(heads: int) -> str:
    return f"ours, {heads} heads in one pass"


def _strided_label(heads: int) -> str:
    return f"{_heads_label(heads)}, loss_stride={LOSS_STRIDE}"


class _AsBackbone(nn.Module):
    """Gives the one map of a model as OpenMMLab's backbones give theirs."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, images: Tensor) -> tuple[Tensor]:
        return (self.model(images),)


def _ours(backbone: TimmViT, variant: Variant) -> TimmViT:
    ours: Any = as_variant(backbone, variant)
    made: Ours = ours
    return made.backbone


def _contestants(
    trainings: Mapping[str, Training], variant: Variant, heads: int, common: dict[str, Any]
) -> list[Contestant]:
    against = {PLAIN: PLAIN, BARE: PLAIN, TOKEN: PLAIN}
    common = {**common, "variant": variant.name, "number": variant.number}
    made = [
        Contestant(
            name,
            training.step,
            against=against.get(name, BARE),
            goal=GOAL_PROBES if name in {_heads_label(8), _strided_label(8)} else None,
            cost=partial(_cost, training, variant),
            **common,
        )
        for name, training in trainings.items()
    ]

    def one_by_one() -> None:
        for _ in range(heads):
            trainings[BARE].step()

    name = f"ours, {heads} heads one by one"
    return [*made, Contestant(name, one_by_one, against=BARE, **common)]


def _cost(training: Training, variant: Variant) -> Cost:
    """Count an eager step; only a GPU knows the memory of a compiled one."""
    device = training.batch["inputs"][0].device
    if not variant.compiled:
        return cost_of(training.step, training.held, device)
    seen = device.type == "cuda"
    return Cost(None, peak_bytes(training.step, training.held, device) if seen else None)
