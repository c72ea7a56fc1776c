"""Reading the checkpoints that mmengine is given, without running what they may carry."""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlparse

import torch
from mmengine.dist import barrier, is_main_process
from mmengine.runner import CheckpointLoader

from ttr_backbones.errors import InputError
from ttr_backbones.safe_load import load_checkpoint_file


@contextlib.contextmanager
def safe_loaders() -> Iterator[None]:
    """Within the block mmengine reads local files and URLs by `load_checkpoint_file`.

    Its own readers unpickle whatever they are given. They are back after the block.
    """
    schemes = CheckpointLoader._schemes  # noqa: SLF001 (mmengine registers, and never takes back)
    CheckpointLoader._schemes = dict(schemes)  # noqa: SLF001
    try:
        CheckpointLoader.register_scheme(prefixes="", loader=load_from_local, force=True)
        CheckpointLoader.register_scheme(
            prefixes=["http://", "https://"], loader=load_from_http, force=True
        )
        yield
    finally:
        CheckpointLoader._schemes = schemes  # noqa: SLF001


# mmengine prints the part of the name after `load_from_`.
def load_from_local(filename: str, map_location: Any = None) -> Any:
    """Read a local checkpoint for mmengine, see `load_checkpoint_file`."""
    return load_checkpoint_file(filename, map_location)


def load_from_http(filename: str, map_location: Any = None) -> Any:
    """Download a checkpoint into torch's cache (once, on rank 0) and read it safely.

    Its name there has part of the address' hash: many a file is called head.pth.
    """
    name = Path(urlparse(filename).path)
    digest = hashlib.sha256(filename.encode()).hexdigest()[:8]
    cached = Path(torch.hub.get_dir()) / "checkpoints" / f"{name.stem}-{digest}{name.suffix}"
    if is_main_process() and not cached.is_file():
        cached.parent.mkdir(parents=True, exist_ok=True)
        try:
            torch.hub.download_url_to_file(filename, str(cached))
        except OSError as error:
            raise InputError(
                f"{filename} could not be downloaded ({error}). Fetch it where there is a network "
                f"and give the local file, or put it at {cached}."
            ) from error
    barrier()
    return load_checkpoint_file(cached, map_location)
