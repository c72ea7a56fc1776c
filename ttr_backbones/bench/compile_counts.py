"""What torch.compile makes of a model whose input changes its size, and what the host waits for."""

from __future__ import annotations

import contextlib
import logging
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch._dynamo.utils import counters
from torch.utils._python_dispatch import TorchDispatchMode

from ttr_backbones.bench.variants import Variant
from ttr_backbones.errors import InputError


@dataclass(frozen=True)
class CompileCounts:
    """Graphs that were compiled.

    Args:
        graphs: when each of the two sizes came for the first time.
        recompiled: while the sizes alternated after that.
        breaks: places where the compiler gave up and left Python to Python.
    """

    graphs: int
    recompiled: int
    breaks: int

    def __str__(self) -> str:
        return f"{self.graphs} graphs, {self.recompiled} recompiled, {self.breaks} breaks"


def compile_counts(
    run: Callable[[Tensor], object], images: Tensor, other: Tensor, turns: int = 3
) -> CompileCounts:
    """Run a model that compiles itself on two inputs in turn, and count.

    Where torch can be told so (2.6 and later), graphs are traced and not translated to kernels: the
    counts are the same and take seconds. What was compiled before is forgotten.
    """
    torch._dynamo.reset()  # noqa: SLF001 (torch.compiler.reset of later versions)
    counters.clear()
    with _traced_only(), _quiet():
        run(images)
        run(other)
        graphs = counters["stats"]["unique_graphs"]
        for _ in range(turns):
            run(images)
            run(other)
        counted = CompileCounts(
            graphs=graphs,
            recompiled=counters["stats"]["unique_graphs"] - graphs,
            breaks=sum(counters["graph_break"].values()),
        )
    torch._dynamo.reset()  # noqa: SLF001
    return counted


def _traced_only() -> contextlib.AbstractContextManager[Any]:
    stance: Any = getattr(torch.compiler, "set_stance", None)
    return stance("default", force_backend="eager") if stance else contextlib.nullcontext()


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keep the compiler from explaining each break at length: they are counted here."""
    logger = logging.getLogger("torch._dynamo")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(level)


def compile_failure(device: torch.device) -> str | None:
    """Say why torch.compile does not work on `device`; None if it does."""
    try:
        torch.compile(lambda x: x + 1)(torch.ones(8, device=device))
    except RuntimeError as error:
        return str(error).strip().partition("\n")[0]
    return None


def possible_variants(
    part: str, variants: Sequence[Variant], device: torch.device
) -> tuple[Sequence[Variant], list[str]]:
    """Leave out what cannot be compiled here.

    Returns:
        The other variants, and what to say about it.

    Raises:
        InputError: there are no others.
    """
    reason = compile_failure(device) if any(one.compiled for one in variants) else None
    if reason is None:
        return variants, []
    kept = [variant for variant in variants if not variant.compiled]
    note = f"{part}: nothing compiled, torch.compile does not work here: {reason}"
    if not kept:
        raise InputError(f"{note}. Measure other variants")
    return kept, [note]


def host_reads(run: Callable[[], object], device: torch.device) -> int:
    """Count the host-device synchronisations of one call.

    On a GPU torch itself tells (`torch.cuda.set_sync_debug_mode`); elsewhere the operations are
    counted that would have to wait there.
    """
    if device.type != "cuda":
        with _Reads() as reads:
            run()
        return reads.count
    before = torch.cuda.get_sync_debug_mode()
    torch.cuda.set_sync_debug_mode("warn")
    try:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            run()
    finally:
        torch.cuda.set_sync_debug_mode(before)
    return sum("synchronizing CUDA operation" in str(warning.message) for warning in caught)


class _Reads(TorchDispatchMode):
    """Counts operations whose result Python looks at."""

    def __init__(self) -> None:
        super().__init__()
        self.count = 0

    def __torch_dispatch__(
        self,
        func: Any,
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        del types
        aten = torch.ops.aten
        # `item` comes as itself in inference mode, and elsewhere as what it is made of.
        reading = {aten.item, aten._local_scalar_dense, aten.nonzero, aten.is_nonzero, aten.equal}  # noqa: SLF001
        self.count += getattr(func, "overloadpacket", None) in reading
        return func(*args, **(kwargs or {}))
