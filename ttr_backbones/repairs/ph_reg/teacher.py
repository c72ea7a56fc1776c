"""PH-Reg's teacher: the average of shifted views of an image, or test-time registers in its place.

The published code draws its views without a seed. Here they are drawn from a seed and the image's
own pixels: in any batch, process and resumed run an image has the same ones.
"""

from __future__ import annotations

import hashlib
from typing import Any, Literal

import torch
from torch import Tensor, nn

from ttr_backbones.errors import InputError
from ttr_backbones.repairs.ph_reg.features import dense_features
from ttr_backbones.vits.class_swap import sharing_copy
from ttr_backbones.vits.dense_last_block import set_last_block
from ttr_backbones.vits.family import family_of
from ttr_backbones.vits.neurons import RegisterNeurons
from ttr_backbones.vits.registers import add_test_time_registers
from ttr_backbones.vits.shifted_views import (
    Fill,
    average_back,
    draw_views,
    fill_colour,
    stack_views,
    view_images,
)

TeacherKind = Literal["tta", "test_time"]
TEACHERS: tuple[TeacherKind, ...] = ("tta", "test_time")


class Teacher:
    """A frozen model that says what its patches are without artifacts.

    Args:
        vit: without a repair; its weights are shared and stay as they are.
        kind: "tta", the average over views, as published; "test_time", one pass with a test-time
            register, which needs no artifacts that stay in place (not published).
        views: number of views n, the image itself among them.
        shift: largest shift as a share of the grid.
        flip: probability that a view is mirrored.
        fill: what comes in from outside, see `FILLS`.
        naclip: the last block as NACLIP has it, and the projection; for CLIP, as published.
        neurons: register neurons for "test_time".
        seed: of the views.

    Raises:
        InputError: see `draw_views`, `set_last_block` and `add_test_time_registers`; "test_time"
            without neurons.
    """

    def __init__(
        self,
        vit: nn.Module,
        *,
        kind: TeacherKind = "tta",
        views: int = 10,
        shift: float = 0.15,
        flip: float = 0.5,
        fill: Fill = "white",
        naclip: bool = False,
        neurons: RegisterNeurons | None = None,
        seed: int = 0,
    ) -> None:
        if kind not in TEACHERS:
            raise InputError(f"teacher={kind!r}: expected {' or '.join(map(repr, TEACHERS))}")
        facts = family_of(vit).facts(vit)
        self.vit = sharing_copy(vit).eval()
        self.kind, self.naclip, self.seed = kind, naclip, seed
        self.patch = facts.patch_size
        self.views, self.shift, self.flip = views, shift, flip
        self.fill, self._colour = fill, fill_colour(fill, facts.mean, facts.std)
        draw_views(views, facts.grid, torch.Generator(), share=shift, flip=flip)  # checks them
        if kind == "test_time":
            if neurons is None:
                raise InputError("teacher='test_time' needs `neurons`, the list of the model")
            add_test_time_registers(self.vit, neurons, **neurons.recorded_options)
        set_last_block(self.vit, "naclip" if naclip else "own")

    def describe(self) -> dict[str, Any]:
        """What decides the targets, as plain data."""
        if self.kind == "test_time":
            vit: Any = self.vit
            neurons: RegisterNeurons = vit.register_neurons
            layers = {str(b): units for b, units in neurons.layers.items()}
            edit = {"options": neurons.recorded_options} if neurons.recorded_options else {}
            return {"teacher": self.kind, "naclip": self.naclip, "layers": layers, **edit}
        return {
            "teacher": self.kind,
            "naclip": self.naclip,
            "views": self.views,
            "shift": self.shift,
            "flip": self.flip,
            "fill": self.fill,
            "seed": self.seed,
        }

    @torch.no_grad()
    def __call__(self, images: Tensor, turn: int = 0) -> Tensor:
        """Give the targets.

        Args:
            images: [B, 3, H, W]; H and W multiples of the patch.
            turn: another one gives other views of the same image.

        Returns:
            [B, N, C].
        """
        if self.kind == "test_time":
            return dense_features(self.vit, images, projected=self.naclip)
        if images.shape[2] % self.patch[0] or images.shape[3] % self.patch[1]:
            raise InputError(
                f"images of {images.shape[2]} x {images.shape[3]} pixels cannot be shifted by "
                f"whole patches of {self.patch[0]} x {self.patch[1]}: crop them to a multiple"
            )
        grid = (images.shape[2] // self.patch[0], images.shape[3] // self.patch[1])
        views = stack_views(
            [
                draw_views(self.views, grid, generator, share=self.shift, flip=self.flip)
                for generator in (self._generator(image, turn) for image in images.cpu())
            ]
        ).to(images.device)
        colour = None if self._colour is None else images.new_tensor(self._colour)
        made = view_images(images, views, self.patch, colour)
        return average_back(dense_features(self.vit, made, projected=self.naclip), views, grid)

    def _generator(self, image: Tensor, turn: int) -> torch.Generator:
        number = int.from_bytes(bytes.fromhex(image_hash(image, f"{self.seed} {turn}"))[:8], "big")
        return torch.Generator().manual_seed(number >> 1)


def image_hash(image: Tensor, more: str = "") -> str:
    """SHA-256 of the numbers of an image [3, H, W] on the CPU, and of a text."""
    digest = hashlib.sha256(f"{tuple(image.shape)} {more}\n".encode())
    digest.update(image.detach().float().contiguous().numpy().tobytes())
    return digest.hexdigest()
