"""Models as files that need no code of this package: ONNX, and programs of torch.export.

A client of everything else, imported by nothing but the command line.
"""

# ruff: noqa: E402 -- mmseg has to be made importable before anything imports it
from ttr_backbones.compat import prepare_mmseg

prepare_mmseg()

from ttr_backbones.export.check import MismatchError, OutputDifference
from ttr_backbones.export.export import check_target, export_model
from ttr_backbones.export.exportable import Exportable, load_exportable

__all__ = [
    "Exportable",
    "MismatchError",
    "OutputDifference",
    "check_target",
    "export_model",
    "load_exportable",
]
