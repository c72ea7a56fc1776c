"""The torch device that a command runs on."""

from __future__ import annotations

from typing import Any

from ttr_backbones.errors import InputError


def choose_device(name: str | None) -> Any:
    """Return the torch device `name`; by default the GPU if there is one.

    Raises:
        InputError: it cannot be used here.
    """
    import torch

    if name is None:
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
        torch.zeros(1, device=device)
    except (RuntimeError, AssertionError) as error:
        reason = str(error).partition("\n")[0]
        raise InputError(f"--device {name} cannot be used here ({reason}): try cpu") from error
    return device
