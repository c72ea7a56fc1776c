"""`Distillation`: teacher, student and what is trained, for whichever loop trains it."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor, nn

from ttr_backbones.errors import InputError
from ttr_backbones.repairs.artifact import Artifact
from ttr_backbones.repairs.ph_reg.features import dense_features
from ttr_backbones.repairs.ph_reg.loss import DistillationLoss, distillation_loss
from ttr_backbones.repairs.ph_reg.target_cache import TargetCache
from ttr_backbones.repairs.ph_reg.teacher import Teacher, TeacherKind
from ttr_backbones.vits.class_swap import check_plain, sharing_copy
from ttr_backbones.vits.dense_last_block import set_last_block
from ttr_backbones.vits.family import family_of
from ttr_backbones.vits.learned_registers import add_learned_registers
from ttr_backbones.vits.neurons import RegisterNeurons, model_name
from ttr_backbones.vits.shifted_views import Fill
from ttr_backbones.vits.weights_hash import weights_hash

TYPE = "ph_reg"
REGISTERS = "registers"  # their name in an artifact
_LEARNED = "learned_registers"  # and in the student


class Distillation:
    """A model that learns from the average of its own views (arXiv 2505.21501).

    Args:
        vit: the model, without a repair; it stays as it is, and what is not trained is shared.
        registers: number of register tokens R.
        unlock_blocks: so many of the last blocks are trained: 1 (paper) or 2 (the CLIP code).
        last_block: "own", or for CLIP "value": the student's last block returns its values, the
            teacher's is NACLIP's, and both are projected, as published.
        teacher: kind of `Teacher`.
        views: number of views per image, of the teacher as the following.
        shift: largest shift as a share of the grid.
        flip: probability that a view is mirrored.
        fill: what stands outside of the image.
        neurons: register neurons of the teacher "test_time".
        seed: of the views and of the registers' first values.
        cache: folder that keeps the targets; None makes them anew each time. With one an image has
            the same views each time it comes.
        bf16: compute in bfloat16 where autocast does; weights and loss stay in float32.

    Attributes:
        student: the model that is trained, with registers.
        trained: what is trained, by name.
    """

    def __init__(
        self,
        vit: nn.Module,
        *,
        registers: int = 16,
        unlock_blocks: int = 1,
        last_block: Literal["own", "value"] = "own",
        teacher: TeacherKind = "tta",
        views: int = 10,
        shift: float = 0.15,
        flip: float = 0.5,
        fill: Fill = "white",
        neurons: RegisterNeurons | None = None,
        seed: int = 0,
        cache: str | Path | None = None,
        bf16: bool = False,
    ) -> None:
        check_plain(vit)
        if registers < 1:
            raise InputError(f"registers={registers}: expected at least 1")
        if last_block not in ("own", "value"):
            raise InputError(f"last_block={last_block!r}: expected 'own' or 'value'")
        self.clip = last_block == "value"
        self.teacher = Teacher(
            vit,
            kind=teacher,
            views=views,
            shift=shift,
            flip=flip,
            fill=fill,
            naclip=self.clip,
            neurons=neurons,
            seed=seed,
        )
        self.targets = self.teacher if cache is None else TargetCache(cache, self.teacher)
        self.turns = cache is None
        self.bf16, self.unlock_blocks = bf16, unlock_blocks
        self.student = _student(vit, registers, unlock_blocks, seed)
        set_last_block(self.student, last_block)
        self.trained = {
            name: parameter
            for name, parameter in self.student.named_parameters()
            if parameter.requires_grad
        }

    @property
    def num_trained(self) -> int:
        """How many numbers are trained."""
        return sum(parameter.numel() for parameter in self.trained.values())

    def loss(self, images: Tensor, turn: int = 0) -> DistillationLoss:
        """Compare student and teacher on images [B, 3, H, W].

        Args:
            images: normalised.
            turn: how often these images came before; another one gives other views.
        """
        with torch.autocast(images.device.type, torch.bfloat16, enabled=self.bf16):
            targets = self.targets(images, turn if self.turns else 0)
            features = dense_features(self.student, images, projected=self.clip)
        return distillation_loss(features, targets)

    def artifact(self, **provenance: Any) -> Artifact:
        """Return what was trained so far.

        Args:
            provenance: what is to be known of the training.
        """
        tensors = {REGISTERS if n == _LEARNED else n: p.data for n, p in self.trained.items()}
        facts = {"last_block": "value"} if self.clip else {}
        about = {
            "source": "trained here as PH-Reg, arXiv 2505.21501",
            **self.teacher.describe(),
            "unlock_blocks": self.unlock_blocks,
            "bf16": self.bf16,
            "trained": sorted(tensors),
            "weights_sha256": weights_hash(self.teacher.vit),
            **provenance,
        }
        return Artifact(TYPE, model_name(self.teacher.vit), tensors, facts, about)


def unlocked(vit: nn.Module, blocks: int) -> dict[str, nn.Parameter]:
    """Return what PH-Reg trains beside the registers: positions, patch embedding, last blocks.

    Args:
        vit: the model.
        blocks: how many of the last blocks.

    Raises:
        InputError: more than there are.
    """
    family = family_of(vit)
    depth = len(family.blocks(vit))
    if not 1 <= blocks <= depth:
        raise InputError(f"unlock_blocks={blocks}: expected 1..{depth}")
    kernel, positions = family.kernel(vit), family.position_embedding(vit)
    convolution = next(m for m in vit.modules() if any(p is kernel for p in m.parameters(False)))
    chosen = {id(positions), *(id(p) for p in convolution.parameters())}
    for block in family.blocks(vit)[depth - blocks :]:
        chosen |= {id(p) for p in block.parameters()}
    return {name: p for name, p in vit.named_parameters() if id(p) in chosen}


def _student(vit: nn.Module, registers: int, blocks: int, seed: int) -> nn.Module:
    """A copy with registers whose own tensors are those that are trained."""
    names = unlocked(vit, blocks)
    ids = {id(parameter) for parameter in names.values()}
    student = sharing_copy(vit, lambda tensor: id(tensor) not in ids).eval()
    for name, parameter in list(student.named_parameters()):
        if name in names:
            parameter.requires_grad = True
        else:  # another object of the same memory: that of `vit` stays as it is
            path, _, last = name.rpartition(".")
            frozen = nn.Parameter(parameter.detach(), requires_grad=False)
            setattr(student.get_submodule(path), last, frozen)
    width = family_of(vit).facts(vit).channels
    first = torch.randn(registers, width, generator=torch.Generator().manual_seed(seed))
    like = next(vit.parameters())
    add_learned_registers(student, nn.Parameter((first / math.sqrt(width)).to(like)))
    return student
