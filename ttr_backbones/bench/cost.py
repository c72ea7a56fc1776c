"""What a run takes besides time: operations, counted while it runs, and memory."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from ttr_backbones.bench.live_memory import peak_bytes
from ttr_backbones.bench.row import Cost


def cost_of(run: Callable[[], object], held: Iterable[Tensor], device: torch.device) -> Cost:
    """Run an eager model once more, untimed, and return its operations and its peak memory.

    Args:
        run: one run of a contestant, which has run before: what it keeps from then on is there.
        held: its weights and inputs, which live before and after.
        device: that it runs on.
    """
    if device.type == "cuda":
        return Cost(count_flops(run), peak_bytes(run, held, device))
    counted: list[int] = []
    peak = peak_bytes(lambda: counted.append(count_flops(run)), held, device)
    return Cost(counted[0], peak)


def count_flops(run: Callable[[], object]) -> int:
    """Call `run` once and count; a multiplication and an addition are two operations.

    Matrix products, convolutions and attention are counted, nothing else. Give it an eager model:
    compiled code is not seen.
    """
    attention = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu  # noqa: SLF001
    # torch 2.14 knows the attention of GPUs and not that of CPUs.
    counter = FlopCounterMode(display=False, custom_mapping={attention: attention_flops})
    with counter:
        run()
    return counter.get_total_flops()


def attention_flops(query: Any, key: Any, value: Any, *_: Any, **__: Any) -> int:
    """Operations of the two products of attention, from the shapes [B, heads, N, d] of its inputs.

    Args:
        query: shape [B, heads, N, d].
        key: shape [B, heads, M, d].
        value: shape [B, heads, M, e].
    """
    batch, heads, n, d = query
    return 2 * batch * heads * n * key[2] * (d + value[3])
