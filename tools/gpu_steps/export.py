"""A head, its backbone and a register as one file, compared with the model, also on the device."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch

from gpu_steps.step import Check, NotPossibleError
from ttr_backbones.app import runner as _registers_everything  # noqa: F401
from ttr_backbones.export import export_model, load_exportable
from ttr_backbones.export.packages import PACKAGES, missing_packages_reason
from ttr_backbones.heads import LinearSegHead


def run(check: Check) -> None:
    """Write and compare all kinds of files that can be written here."""
    config, checkpoint = _segmentor(check)
    size = check.scale.sizes[0]
    reasons = []
    for suffix in reversed(PACKAGES):
        reason = missing_packages_reason(suffix)
        if reason is not None:
            check.record(suffix, None, reason)
            reasons.append(reason)
            continue
        exportable = load_exportable(str(config), checkpoint)
        out = check.folder / f"model{suffix}"
        for found in export_model(exportable, out, size=(size, size), progress=print):
            check.record(f"{suffix} on the CPU, largest difference", found.relative, str(found))
        check.record(f"{suffix}, bytes", out.stat().st_size)
        if suffix == ".pt2":
            for batch, difference in _on_device(check, out, size):
                text = f".pt2 moved to {check.device.type}, batch {batch}: relative to the CPU"
                check.record(text, difference, goal="difference")
    if len(reasons) == len(PACKAGES):
        raise NotPossibleError(reasons[0])


def _on_device(check: Check, file: Path, size: int) -> Iterator[tuple[int, float]]:
    from torch.export.passes import move_to_device_pass  # of the versions that export

    program = torch.export.load(file)
    there = move_to_device_pass(torch.export.load(file), check.device)
    random = torch.Generator().manual_seed(0)
    for batch in (1, 3):
        images = torch.randint(256, (batch, 3, size, size), generator=random).float()
        (expected,) = program.module()(images).values()
        (found,) = there.module()(images.to(check.device)).values()
        yield batch, ((found.cpu() - expected).abs().max() / expected.abs().max()).item()


def _segmentor(check: Check) -> tuple[Path, Path]:
    """A config and its head with random weights; the backbone is the one of the other steps."""
    scale = check.scale
    benched = scale.benched(scale.base)
    vit = benched.backbone()
    weights = check.folder / "vit.pth"
    torch.save(vit.vit.state_dict(), weights)
    backbone = {
        "type": "TimmViT",
        "model": scale.base,
        "checkpoint": str(weights),
        "model_kwargs": dict(scale.model_kwargs),
        "repair": {"type": "test_time", "neurons": dict(benched.chosen_neurons(vit).layers)},
    }
    head: dict[str, Any] = {"in_channels": [vit.channels], "num_classes": scale.classes}
    model = {
        "type": "EncoderDecoder",
        "data_preprocessor": {
            "type": "SegDataPreProcessor", "mean": vit.mean, "std": vit.std, "bgr_to_rgb": True,
            "size": (scale.sizes[0], scale.sizes[0]),
        },
        "backbone": backbone,
        "decode_head": {"type": "LinearSegHead", **head},
        "test_cfg": {"mode": "whole"},
    }  # fmt: skip
    config, checkpoint = check.folder / "export.py", check.folder / "head.pth"
    config.write_text(f"model = {model!r}\n", encoding="utf-8")
    weights_of_head = LinearSegHead(**head).state_dict()
    state = {f"decode_head.{name}": tensor for name, tensor in weights_of_head.items()}
    torch.save({"state_dict": state}, checkpoint)
    return config, checkpoint
