"""Exported files: written, and opened again to run."""

from __future__ import annotations

import json
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.export import ExportedProgram

from ttr_backbones.errors import InputError
from ttr_backbones.export.check import MismatchError
from ttr_backbones.export.exportable import Outputs, Run

ABOUT = "about.json"
"""Name of the description inside a .pt2 file."""
_OLDEST_OPSET = 18  # that of torch's library of operators; conversions to older ones fail
_AXES = {0: "batch", 2: "height", 3: "width"}


def write_pt2(program: ExportedProgram, path: Path, about: Mapping[str, str]) -> None:
    """Write a file for `torch.export.load`, the description in it as `ABOUT`."""
    torch.export.save(program, path, extra_files={ABOUT: json.dumps(about, indent=1)})


def open_pt2(path: Path) -> Run:
    """Load a .pt2 file."""
    run: Run = torch.export.load(path).module()
    return run


def write_onnx(
    program: ExportedProgram,
    path: Path,
    about: Mapping[str, str],
    *,
    outputs: Sequence[str],
    opset: int | None = None,
) -> None:
    """Write an ONNX file, the description in it as metadata, and check that it is a valid one.

    Weights above 1.5 GB go to a file beside it, PATH.data.

    Raises:
        InputError: onnxscript is too old for this torch, or torch cannot write this opset.
        MismatchError: the file is not valid.
    """
    import onnx

    model = _converted(program, outputs, opset)
    written = model.model.opset_imports[""]
    if opset not in (None, written):
        raise InputError(
            f"--opset {opset}: torch {torch.__version__} wrote {written} instead. Leave it out, or "
            "ask for that one"
        )
    for node in model.model.graph.all_nodes():
        node.metadata_props.clear()  # the lines of source that it comes from
    model.model.metadata_props.update(about)
    model.save(path)
    try:
        onnx.checker.check_model(path, full_check=True)
    except onnx.checker.ValidationError as error:
        raise MismatchError(f"it is not valid ONNX: {error}") from error


def check_opset(opset: int) -> None:
    """Raise InputError unless the opset is among those that can be written here."""
    import onnx

    newest = onnx.defs.onnx_opset_version()
    if not _OLDEST_OPSET <= opset <= newest:
        raise InputError(
            f"--opset {opset}: torch {torch.__version__} and onnx {onnx.__version__} write "
            f"{_OLDEST_OPSET} to {newest}"
        )


def _converted(program: ExportedProgram, outputs: Sequence[str], opset: int | None) -> Any:
    image = next(node for node in program.graph.nodes if node.name == "image").meta["val"]
    names = {dim: name for dim, name in _AXES.items() if not isinstance(image.shape[dim], int)}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about the exporter's own insides
        try:
            return torch.onnx.export(
                program,
                dynamo=True,
                opset_version=opset,
                input_names=["image"],
                output_names=list(outputs),
                dynamic_shapes={"image": names},
                verbose=False,
            )
        except ModuleNotFoundError as error:
            raise InputError(
                f"torch {torch.__version__} takes another onnxscript than the one here ({error}): "
                "pip install --upgrade onnxscript"
            ) from error


def open_onnx(path: Path) -> Run:
    """Load an ONNX file into onnxruntime, on the CPU.

    Raises:
        MismatchError: it cannot be loaded.
    """
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3  # errors; what it could not make faster is no news here
    try:
        session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    except Exception as error:
        raise MismatchError(f"onnxruntime cannot load it: {error}") from error
    names = [output.name for output in session.get_outputs()]

    def run(image: Tensor) -> Outputs:
        results = session.run(names, {"image": image.numpy()})
        return {name: torch.from_numpy(output) for name, output in zip(names, results, strict=True)}

    return run
