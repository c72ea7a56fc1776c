"""PH-Reg as a repair: learned registers, and parameters that were trained with them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor, nn

from ttr_backbones.errors import InputError
from ttr_backbones.images.batches import ImageBatches
from ttr_backbones.neuron_search.tune import tune_register_neurons
from ttr_backbones.repairs.artifact import Artifact
from ttr_backbones.repairs.ph_reg.distillation import REGISTERS, TYPE, Distillation
from ttr_backbones.repairs.ph_reg.released import read_released
from ttr_backbones.repairs.ph_reg.teacher import TeacherKind
from ttr_backbones.repairs.registry import register_repair
from ttr_backbones.repairs.repair import Repair
from ttr_backbones.repairs.training_log import TrainingLog
from ttr_backbones.vits.class_swap import Mixin, mix
from ttr_backbones.vits.dense_last_block import set_last_block
from ttr_backbones.vits.learned_registers import add_learned_registers
from ttr_backbones.vits.neurons import RegisterNeurons
from ttr_backbones.vits.replaced_parameters import replace_parameters
from ttr_backbones.vits.shifted_views import Fill

Control = Literal["noise", "shuffled"]


class Distilled(Mixin):
    """A ViT with PH-Reg's registers and parameters."""

    distilled: dict[str, Any]

    def restore(self) -> None:
        """Forget what it was."""
        del self.distilled


@register_repair
class PhReg(Repair):
    """A student of the model's own averaged views, with registers.

    `fit_repair` trains for as long as a command or a test may last; the published 100 epochs go
    through mmengine's Runner, see `ttr_backbones.distillation`.
    """

    type = TYPE
    label = "PH-Reg"
    colour = "#e69f00"
    fit_options: ClassVar[Mapping[str, str]] = {
        "epochs": "passes over the images (10; published: 100)",
        "lr": "learning rate of AdamW at the start (1e-4; CLIP 3e-4)",
        "final_lr": "and in the last epoch, falling exponentially (5e-6; CLIP 1e-5)",
        "weight_decay": "of everything that is trained (0.01)",
        "registers": "number of register tokens (16)",
        "unlock_blocks": "last blocks that are trained, 1 (paper) or 2 (the CLIP code)",
        "last_block": "'own'; 'value' for CLIP: values alone, taught by NACLIP, as published",
        "teacher": "'tta', averaged views, as published; 'test_time', a test-time register",
        "neurons": "the list of the teacher 'test_time'; by default it is searched on the images",
        "views": "views of an image that are averaged, itself among them (10)",
        "shift": "largest shift of a view, as a share of the grid (0.15)",
        "flip": "probability that a view is mirrored (0.5)",
        "fill": "what comes in from outside: 'white', as published, 'zero' or 'reflect'",
        "cache": "folder that keeps the teacher's targets; without, they are made in each epoch",
        "bf16": "compute in bfloat16 (False)",
        "seed": "of the views and of the registers' first values (0)",
    }
    options: ClassVar[Mapping[str, str]] = {
        "control": "in place of the learned registers: 'noise' of their mean and deviation, or "
        "they themselves 'shuffled' over the channels",
    }
    controls: ClassVar[Mapping[str, str]] = {
        "noise": "registers of noise",
        "shuffled": "shuffled registers",
    }
    swaps = (Distilled,)
    suffix = ".pth"
    changes_weights = True
    trains = "registers, positions, patch embedding, last block"

    def fit(
        self,
        vit: nn.Module,
        images: ImageBatches,
        *,
        log: TrainingLog | None = None,
        epochs: int = 10,
        lr: float = 1e-4,
        final_lr: float = 5e-6,
        weight_decay: float = 0.01,
        registers: int = 16,
        unlock_blocks: int = 1,
        last_block: Literal["own", "value"] = "own",
        teacher: TeacherKind = "tta",
        neurons: RegisterNeurons | Mapping[int, list[int]] | None = None,
        views: int = 10,
        shift: float = 0.15,
        flip: float = 0.5,
        fill: Fill = "white",
        cache: str | Path | None = None,
        bf16: bool = False,
        seed: int = 0,
    ) -> Artifact:
        """Train for a few epochs, in the order of the images.

        Raises:
            InputError: see `Distillation`; images that come only once; a loss that is no number.
            NoOutliersError: teacher="test_time" without neurons, and the model has no outliers.
        """
        images.require_reiterable("training")
        for name, number in (("epochs", epochs), ("lr", lr), ("final_lr", final_lr)):
            if not number > 0:
                raise InputError(f"{name}={number}: expected a number above 0")
        if neurons is None and teacher == "test_time":
            found = tune_register_neurons(vit, images)
            neurons = RegisterNeurons(found.model, found.layers)
        elif neurons is not None and not isinstance(neurons, RegisterNeurons):
            neurons = RegisterNeurons("", neurons)
        distillation = Distillation(
            vit,
            registers=registers,
            unlock_blocks=unlock_blocks,
            last_block=last_block,
            teacher=teacher,
            neurons=neurons,
            views=views,
            shift=shift,
            flip=flip,
            fill=fill,
            seed=seed,
            cache=cache,
            bf16=bf16,
        )
        _train(distillation, images, log or TrainingLog(), epochs, lr, final_lr, weight_decay)
        return distillation.artifact(epochs=epochs, lr=lr, final_lr=final_lr, decay=weight_decay)

    def apply(
        self, vit: nn.Module, artifact: Artifact, *, control: Control | None = None, **options: Any
    ) -> None:
        """Put the registers and the trained parameters in.

        Raises:
            InputError: tensors of another model; no such control.
        """
        del options  # there are no others
        tensors = dict(artifact.tensors)
        registers = _controlled(tensors.pop(REGISTERS), control)
        add_learned_registers(vit, registers)
        current = dict(vit.named_parameters())
        # A released file holds the whole model, most of which was not trained.
        changed = {
            name: value
            for name, value in tensors.items()
            if name not in current or not _equal(current[name], value)
        }
        replace_parameters(vit, changed)
        set_last_block(vit, artifact.facts.get("last_block", "own"))
        mix(vit, Distilled)
        mixed: Any = vit
        about = {"num": len(registers), "sha256": artifact.sha256}
        mixed.distilled = about if control is None else {**about, "control": control}

    def describe(self, vit: Any) -> dict[str, Any]:
        """The number of registers and the hash of everything that was trained."""
        described: dict[str, Any] = dict(vit.distilled)
        return described

    def tokens_added(self, vit: Any) -> int:
        """The registers."""
        return int(vit.distilled["num"])

    def caption(self, num: int) -> str:
        """Count the registers."""
        return f"{num} registers of PH-Reg"

    def check(self, artifact: Artifact) -> None:
        """Registers [R, C], and a last block that is known."""
        registers = artifact.tensors.get(REGISTERS)
        if registers is None or registers.ndim != 2 or not len(registers):
            shape = "none" if registers is None else str(tuple(registers.shape))
            raise InputError(f"an artifact of type='ph_reg' has `registers` [R, C], got {shape}")
        if artifact.facts.get("last_block", "own") not in ("own", "value"):
            raise InputError(
                f"an artifact of type='ph_reg' with last_block={artifact.facts['last_block']!r}: "
                "expected 'own' or 'value'"
            )

    def read(self, path: str | Path) -> Artifact:
        """Read an artifact, or a file that the authors released."""
        if Path(path).suffix == ".safetensors":
            return super().read(path)
        return read_released(path)

    def example(self, vit: nn.Module, images: ImageBatches, neurons: RegisterNeurons) -> Artifact:
        """Take the student as it starts: what it has learned costs nothing."""
        del images, neurons
        return Distillation(vit).artifact()


def _train(
    distillation: Distillation,
    images: ImageBatches,
    log: TrainingLog,
    epochs: int,
    lr: float,
    final_lr: float,
    weight_decay: float,
) -> None:
    """AdamW; the learning rate falls by the same factor in every epoch."""
    parameters = list(distillation.trained.values())
    optimizer = torch.optim.AdamW(parameters, lr=lr, betas=(0.9, 0.999), weight_decay=weight_decay)
    if images.num_images is None:
        for _ in images:  # counts them
            pass
    log.start(steps=epochs * len(images), parameters=distillation.num_trained)
    for epoch, rate in enumerate(learning_rates(lr, final_lr, epochs)):
        for group in optimizer.param_groups:
            group["lr"] = rate
        for batch in images:
            with torch.enable_grad():
                loss = distillation.loss(batch, epoch).total
                optimizer.zero_grad()
                loss.backward()
            optimizer.step()
            log.step(loss.detach(), images=len(batch))


def learning_rates(lr: float, final_lr: float, epochs: int) -> Iterator[float]:
    """Yield the rate of every epoch e of E: lr (final_lr / lr)^((e + 1) / E)."""
    for epoch in range(epochs):
        yield lr * (final_lr / lr) ** ((epoch + 1) / epochs)


def _controlled(registers: Tensor, control: Control | None) -> Tensor:
    """What a control puts in place of learned registers [R, C]; drawn once and for all."""
    generator = torch.Generator().manual_seed(0)
    if control is None:
        return registers
    if control == "shuffled":
        order = torch.rand(registers.shape, generator=generator).argsort(dim=1)
        return registers.gather(1, order)
    if control == "noise":
        noise = torch.randn(registers.shape, generator=generator)
        return registers.mean(1, keepdim=True) + noise * registers.std(1, keepdim=True)
    raise InputError(f"control={control!r}: expected 'noise' or 'shuffled'")


def _equal(parameter: Tensor, value: Tensor) -> bool:
    return parameter.shape == value.shape and torch.equal(parameter.detach(), value.to(parameter))
