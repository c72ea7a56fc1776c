"""Targets on disk: ten passes of the teacher for an image are made once."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import Tensor

from ttr_backbones.atomic import write_atomically
from ttr_backbones.errors import InputError
from ttr_backbones.repairs.ph_reg.teacher import Teacher, image_hash
from ttr_backbones.vits.weights_hash import weights_hash

_TARGET = "target"


class TargetCache:
    """A teacher whose targets are kept in a folder, one file an image, in float32.

    Files are found by the image's numbers, the weights and whatever decides a target: several
    models and teachers may share a folder, and a changed image is another one. Several processes
    may write at the same time.

    Args:
        folder: made if it is not there.
        teacher: whose targets they are.
    """

    def __init__(self, folder: str | Path, teacher: Teacher) -> None:
        described: Mapping[str, Any] = {
            **teacher.describe(),
            "weights": weights_hash(teacher.vit),
        }
        key = hashlib.sha256(json.dumps(described, sort_keys=True).encode()).hexdigest()
        self.folder = Path(folder).expanduser() / key[:32]
        self.folder.mkdir(parents=True, exist_ok=True)
        self.teacher = teacher

    def __call__(self, images: Tensor, turn: int = 0) -> Tensor:
        """Take the targets of images [B, 3, H, W] from the folder, or make them: [B, N, C].

        Raises:
            InputError: a file that cannot be read.
        """
        files = [
            self.folder / f"{image_hash(image, str(turn))}.safetensors" for image in images.cpu()
        ]
        missing = [index for index, file in enumerate(files) if not file.is_file()]
        if missing:
            for index, target in zip(missing, self.teacher(images[missing], turn), strict=True):
                write_atomically(files[index], save({_TARGET: target.float().cpu().contiguous()}))
        return torch.stack([_read(file) for file in files]).to(images)


def _read(file: Path) -> Tensor:
    try:
        return load_file(file)[_TARGET]
    except (SafetensorError, OSError, KeyError) as error:
        raise InputError(f"{file} is no target of a teacher ({error}): delete it") from error
