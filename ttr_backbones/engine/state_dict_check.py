"""Does a checkpoint's state_dict fit a model, and if not, what should the user do?"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import torch
from torch import nn

from ttr_backbones.engine.head_kinds import advice_on_heads
from ttr_backbones.errors import InputError

_BACKBONE = "backbone."
# Released files lack them, and a prediction does not depend on them: BatchNorm's counter (files of
# very old torch) and SigLoss's (files without our loss).
_COUNTERS = ("num_batches_tracked", "warm_up_calls")


def check_fit(model: nn.Module, state: Mapping[str, torch.Tensor], source: str) -> list[str]:
    """Check that `state` has exactly the tensors that `model` needs.

    A frozen backbone is not in its model's state_dict, and loads nothing. A file that carries one
    all the same fits, if everything else does.

    Args:
        model: The model of the config.
        state: Names and tensors of the file.
        source: How to name the file in a message.

    Returns:
        The `backbone.*` names of the file that the model leaves aside.

    Raises:
        InputError: Something is missing, left over or of another shape.
    """
    needed = {name: tensor.shape for name, tensor in model.state_dict().items()}
    has_frozen_backbone = not any(name.startswith(_BACKBONE) for name in needed)
    missing = [name for name in needed if name not in state and not name.endswith(_COUNTERS)]
    extra = [name for name in state if name not in needed and not name.endswith(_COUNTERS)]
    aside = [name for name in extra if has_frozen_backbone and name.startswith(_BACKBONE)]
    left_over = [name for name in extra if name not in aside]
    other_shape = [n for n in needed if n in state and state[n].shape != needed[n]]
    if not (missing or left_over or other_shape):
        return aside
    lines = [f"{source} does not fit the model of this config."]
    if missing:
        lines.append(f"  The model needs, and the file lacks: {_listed(missing)}.")
    if left_over:
        lines.append(f"  The file holds, and the model has no place for: {_listed(left_over)}.")
    lines += [
        f"  {name}: the file holds {list(state[name].shape)}, the model needs {list(needed[name])}."
        for name in other_shape[:5]
    ]
    lines.append(f"  What to do: {_advice(missing, left_over, other_shape, state, needed)}")
    raise InputError("\n".join(lines))


def left_aside(names: Sequence[str], source: str) -> str:
    """Say what `check_fit` has found to be left aside."""
    return (
        f"{len(names)} backbone.* tensors of {source} are left aside: the backbone is frozen and "
        "has its own weights. To load them, set model.backbone.frozen=False."
    )


def _listed(names: list[str]) -> str:
    more = f" and {len(names) - 5} more" if len(names) > 5 else ""
    return ", ".join(names[:5]) + more


def _advice(
    missing: list[str],
    left_over: list[str],
    other_shape: list[str],
    state: Mapping[str, torch.Tensor],
    needed: Mapping[str, torch.Size],
) -> str:
    if not state or not _shares_part(state, needed):
        return (
            "this is no checkpoint of such a model. A released DINOv2 head file holds "
            "decode_head.bn.* and decode_head.conv_seg.* (segmentation) or "
            "decode_head.conv_depth.* (depth), or weight and bias alone (classification); a "
            "backbone's own weights go to "
            "model.backbone.checkpoint instead."
        )
    if any(name.startswith(_BACKBONE) for name in missing):
        return "the config trains its backbone and the file has none: set model.backbone.frozen."
    head_advice = advice_on_heads({n: t.shape for n, t in state.items()}, needed, other_shape)
    if head_advice is not None:
        return head_advice
    if left_over and not missing and not other_shape:
        return "the file comes from a larger model: take the config that it was trained with."
    return "take the config that the file was trained with, or another file."


def _shares_part(state: Iterable[str], needed: Iterable[str]) -> bool:
    parts = {name.partition(".")[0] for name in needed}
    return any(name.partition(".")[0] in parts for name in state)
