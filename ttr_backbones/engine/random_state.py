"""The state of torch's random generators in this process."""

from __future__ import annotations

import torch


def random_state() -> dict[str, torch.Tensor]:
    """Return the state of the CPU generator and of the current CUDA device's, if there is one."""
    state = {"cpu": torch.get_rng_state()}
    if torch.cuda.is_available():
        state["cuda"] = torch.cuda.get_rng_state()
    return state


def set_random_state(state: dict[str, torch.Tensor]) -> None:
    """Undo `random_state`; a CUDA state is left aside where there is no CUDA."""
    torch.set_rng_state(state["cpu"].cpu())
    if "cuda" in state and torch.cuda.is_available():
        torch.cuda.set_rng_state(state["cuda"].cpu())
