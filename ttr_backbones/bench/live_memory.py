"""How many bytes of tensors live at once, counted by watching every operation.

Exact for the eager path on any device, and without running anything on tensors of torch's
`FakeTensorMode`, which have shapes and no memory. What a kernel takes for itself while it runs, and
what an allocator keeps or rounds, is not seen.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves


class LiveMemory(TorchDispatchMode):
    """While it is entered, count the bytes of the storages that live, each once.

    Args:
        held: tensors that live already: weights, inputs.
    """

    def __init__(self, held: Iterable[Tensor] = ()) -> None:
        super().__init__()
        self.now = 0
        self.peak = 0
        self._alive: dict[int, tuple[int, weakref.ref[Any]]] = {}
        for tensor in held:
            self._see(tensor)

    def __torch_dispatch__(
        self,
        func: Any,
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        """Run one operation and look at what it gives."""
        del types
        kwargs = kwargs or {}
        # In inference mode, operations made of others come whole: the parts are what allocates.
        result = NotImplemented
        if func.namespace == "aten":
            with self:
                result = func.decompose(*args, **kwargs)
        if result is NotImplemented:
            result = func(*args, **kwargs)
        for value in tree_leaves(result):
            if isinstance(value, Tensor):
                self._see(value)
        return result

    def _see(self, tensor: Tensor) -> None:
        storage = tensor.untyped_storage()
        key = id(storage)
        if key in self._alive:
            return
        size = storage.nbytes()
        self._alive[key] = size, weakref.ref(storage, lambda _: self._forget(key))
        self.now += size
        self.peak = max(self.peak, self.now)

    def _forget(self, key: int) -> None:
        size, _ = self._alive.pop(key)
        self.now -= size


def bytes_of(tensors: Iterable[Tensor]) -> int:
    """Bytes of the storages behind the tensors, each counted once."""
    return LiveMemory(tensors).now


def peak_bytes(run: Callable[[], object], held: Iterable[Tensor], device: torch.device) -> int:
    """Call `run` and return the most bytes that lived at once, `held` among them.

    On a GPU it is what torch's allocator saw; elsewhere what `LiveMemory` did.
    """
    held = list(held)
    if device.type != "cuda":
        with LiveMemory(held) as memory:
            run()
        return memory.peak
    torch.cuda.synchronize(device)
    torch.cuda.reset_peak_memory_stats(device)
    before = torch.cuda.memory_allocated(device)
    run()
    torch.cuda.synchronize(device)
    return torch.cuda.max_memory_allocated(device) - before + bytes_of(held)
