"""Reading a pickle's structure with every class in it replaced by one that does nothing."""

from __future__ import annotations

import pickle
from collections.abc import Callable, Mapping
from typing import IO, Any


class Inert:
    """Stands for an object of any class: keeps what it was made and filled with."""

    name = ""  # dotted name of the class, set in `InertUnpickler.find_class`

    def __new__(cls, *args: Any, **kwargs: Any) -> Inert:  # noqa: ARG004
        """Make one; the pickle's arguments of the constructor are dropped."""
        return super().__new__(cls)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        """Take any arguments."""

    def __setstate__(self, state: Any) -> None:
        """Keep the state as it lies in the file."""
        self.__dict__["state"] = state

    def __setitem__(self, key: Any, value: Any) -> None:
        """Take the item of a dict."""

    def append(self, value: Any) -> None:
        """Take the item of a list."""

    def extend(self, values: Any) -> None:
        """Take the items of a list."""

    def add(self, value: Any) -> None:
        """Take the item of a set."""


class InertUnpickler(pickle.Unpickler):
    """Imports nothing: a global is one of `known`, or a class of its own derived from `Inert`.

    Args:
        file: the pickle.
        known: {dotted name: function or class} that the pickle may call.
        load_persistent: what a persistent id becomes.
    """

    def __init__(
        self,
        file: IO[bytes],
        known: Mapping[str, Any],
        load_persistent: Callable[[Any], Any],
    ) -> None:
        super().__init__(file)
        self._known = known
        self._load_persistent = load_persistent
        self.inert: set[str] = set()  # dotted names that something inert stands for

    def find_class(self, module: str, name: str) -> Any:
        """Return what stands for `module.name`."""
        dotted = f"{module}.{name}"
        if dotted in self._known:
            return self._known[dotted]
        self.inert.add(dotted)
        return type("Inert", (Inert,), {"name": dotted})

    def persistent_load(self, pid: Any) -> Any:
        """Return what stands for a persistent id."""
        return self._load_persistent(pid)
