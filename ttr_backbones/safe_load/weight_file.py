"""`load_weight_file`: the tensors of a training checkpoint, without what lies beside them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ttr_backbones.safe_load.checkpoint_file import CarriesCodeError, load_checkpoint_file
from ttr_backbones.safe_load.torchscript import unpickle_archive

# Packages whose objects trainers keep beside the weights: arguments, logs, numbers.
_BOOKKEEPING = {"argparse", "numpy", "mmengine", "mmcv", "omegaconf", "pytorch_lightning"}
_BOOKKEEPING |= {"lightning", "lightning_fabric", "_codecs"}


def load_weight_file(path: str | Path) -> Any:
    """Read a file as `load_checkpoint_file` does, of a training checkpoint only the tensors.

    An object of a trainer (argparse's Namespace, numbers of NumPy, logs of mmengine, ...) is not
    made: something without any behaviour stands in its place.

    Raises:
        MissingFileError: No such file.
        InputError: See `load_checkpoint_file`.
    """
    try:
        return load_checkpoint_file(path, "cpu")
    except CarriesCodeError as error:
        if not error.zipped or not _is_bookkeeping(error.refused):
            raise
        checkpoint, classes = unpickle_archive(Path(path).expanduser())
        if not _is_bookkeeping(classes):
            raise
        return checkpoint


def _is_bookkeeping(names: list[str]) -> bool:
    return all(name.partition(".")[0] in _BOOKKEEPING for name in names)
