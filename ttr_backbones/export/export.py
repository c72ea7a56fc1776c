"""A model as one file, compared with the model before it gets its name."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path

from ttr_backbones.atomic import check_writable
from ttr_backbones.errors import InputError, unknown_name
from ttr_backbones.export.check import MismatchError, OutputDifference, compare
from ttr_backbones.export.exportable import Exportable
from ttr_backbones.export.files import check_opset, open_onnx, open_pt2, write_onnx, write_pt2
from ttr_backbones.export.graph import Size
from ttr_backbones.export.metadata import about
from ttr_backbones.export.packages import PACKAGES, require_packages
from ttr_backbones.export.trace import trace
from ttr_backbones.vits.family import family_of

_BATCHES = (2, 1, 3)  # compared, where any number is allowed


def _no_progress(stage: str) -> None:
    """Report nothing."""


def check_target(out: str | Path, opset: int | None = None) -> Path:
    """Check that `out` can be written here, before a model is loaded.

    Raises:
        InputError: another suffix than .onnx and .pt2, missing packages, an opset that is not
            written here or does not apply, or an unwritable folder.
    """
    out = Path(out).expanduser()
    if out.suffix not in PACKAGES:
        raise InputError(
            f"--out {out}: {unknown_name('suffix', out.suffix, PACKAGES)} It chooses the format: "
            "ONNX, or a program of torch.export"
        )
    if out.is_dir():
        raise InputError(f"--out {out} is a folder: expected a file")
    require_packages(out.suffix)
    if opset is not None and out.suffix != ".onnx":
        raise InputError(f"--opset {opset} is for .onnx files, {out} is none: leave it out")
    if opset is not None:
        check_opset(opset)
    check_writable(out.parent)
    return out


def export_model(
    exportable: Exportable,
    out: str | Path,
    *,
    size: Size | None = None,
    any_size: bool = False,
    batch: int | None = None,
    opset: int | None = None,
    progress: Callable[[str], None] = _no_progress,
) -> list[OutputDifference]:
    """Write `exportable` to a file that needs no code of this package.

    Its input is `image`, float32 [B, 3, H, W], RGB on the scale 0..255. Its outputs are `logits`
    [B, K, H, W], `depth` [B, 1, H, W] in metres, or `map_0`, ... [B, C, h, w]. A file that fails or
    differs is deleted; what was at `out` before then stays.

    Args:
        exportable: from `load_exportable`.
        out: .onnx or .pt2; replaced if it is there.
        size: (H, W) of all images; by default `exportable.size`.
        any_size: for images of every size instead; `size` is then one of those compared.
        batch: number of images; by default any.
        opset: of ONNX; by default the exporter's.
        progress: called with what is being done: a large model takes minutes.

    Returns:
        What was compared, all within `check.TOLERANCE`.

    Raises:
        InputError: see `check_target` and `trace`; sizes or numbers that are none.
        MismatchError: the file is not what the model is.
    """
    out = check_target(out, opset)
    size = size or exportable.size
    if min(size) < 1 or (batch is not None and batch < 1):
        raise InputError(f"size={size}, batch={batch}: expected numbers above 0")
    fixed = None if any_size else size
    progress("tracing the model")
    program = trace(exportable, size=fixed, batch=batch)
    with tempfile.TemporaryDirectory(dir=out.parent, prefix=f".{out.name}.") as folder:
        path = Path(folder) / out.name
        facts = about(exportable, fixed, batch)
        progress(f"writing {out.name}")
        try:
            if out.suffix == ".onnx":
                write_onnx(program, path, facts, outputs=exportable.outputs, opset=opset)
                run = open_onnx(path)
            else:
                write_pt2(program, path, facts)
                run = open_pt2(path)
            progress("comparing it with the model")
            differences = compare(run, exportable.eager, _shapes(exportable, size, any_size, batch))
        except MismatchError as error:
            raise MismatchError(f"{out} is not written, {error}") from error
        _replace(path, out)
    return differences


def _shapes(
    exportable: Exportable, size: Size, any_size: bool, batch: int | None
) -> list[tuple[int, int, int, int]]:
    """Shapes to compare: what the file is for, and where it could go wrong."""
    sizes = [size]
    if any_size:
        vit, (height, width) = exportable.backbone.vit, exportable.backbone.patch_size
        rows, columns = family_of(vit).facts(vit).grid
        if size == (rows * height, columns * width):
            rows += 1
        # No multiples, and the model's own grid, at which nothing is resampled.
        sizes += [
            (size[0] + height // 2, size[1] + 2 * width + 1),
            (rows * height, columns * width),
        ]
    batches = _BATCHES if batch is None else (batch,) * len(_BATCHES)
    if len(sizes) == 1 and batch is None:
        sizes *= 2
    return [(b, 3, *sides) for b, sides in zip(batches, sizes, strict=False)]


def _replace(path: Path, out: Path) -> None:
    """Move a file to its place, with the weights that lie beside a large one."""
    data, old_data = (file.with_name(f"{file.name}.data") for file in (path, out))
    if data.exists():
        data.replace(old_data)
    path.replace(out)
