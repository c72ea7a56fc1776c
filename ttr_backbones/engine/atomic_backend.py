"""mmengine's local files, written atomically."""

from __future__ import annotations

from pathlib import Path

from mmengine.fileio import LocalBackend, register_backend

from ttr_backbones.atomic import write_atomically


class AtomicBackend(LocalBackend):
    """mmengine's local files, each written atomically."""

    def put(self, obj: bytes, filepath: str | Path) -> None:
        """Write `obj` to `filepath`."""
        write_atomically(filepath, obj)


register_backend("atomic", AtomicBackend, force=True)
