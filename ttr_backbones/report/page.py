"""The HTML report: verdict and table are plain HTML, so they are read without scripts."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ttr_backbones.atomic import write_atomically
from ttr_backbones.errors import InputError
from ttr_backbones.report.inspection import Inspection
from ttr_backbones.report.one_file import one_file, page_part
from ttr_backbones.report.page_data import column_label, page_data
from ttr_backbones.report.pca import pca_maps
from ttr_backbones.report.summary import percent


def write_page(
    path: str | Path,
    inspections: Sequence[Inspection],
    images: NDArray[np.uint8],
    names: Sequence[str],
    summary: dict[str, Any],
) -> None:
    """Write the report.

    Args:
        path: the HTML file; its folder is made.
        inspections: of one model on the same B images, one per kind of registers, at most four,
            the model as it comes first.
        images: what the model was shown, RGB uint8 [B, H, W, 3].
        names: of the images; shown as they are.
        summary: from `summarize`, of the same inspections.

    Raises:
        InputError: inspections, images and names do not belong together, or values are not finite.
    """
    _check(inspections, images, names)
    data = page_data(inspections, images, names, summary, pca_maps(inspections).maps)
    page = one_file(
        page_part("template.html"),
        style=page_part("colours.css") + page_part("page.css"),
        script=page_part("base.js") + page_part("maps.js") + page_part("page.js"),
        data=data,
        title=escape(f"Registers: {summary['model']}"),
        subject=escape(_model_and_size(summary)),
        verdict=escape(summary["verdict"]),
        table=_table(inspections, summary),
        method=escape(_method(summary)),
    )
    write_atomically(path, page.encode())


def _check(
    inspections: Sequence[Inspection], images: NDArray[np.uint8], names: Sequence[str]
) -> None:
    if not 1 <= len(inspections) <= 4:
        raise InputError(f"expected one to four inspections, got {len(inspections)}")
    count = inspections[0].norms.shape[1]
    if images.ndim != 4 or images.dtype != np.uint8 or images.shape[3] != 3:
        raise InputError(
            f"expected RGB images, uint8 [B, H, W, 3], got {images.dtype} {images.shape}"
        )
    if not count == len(images) == len(names):
        raise InputError(
            f"expected as many images and names as were inspected, {count}, got {len(images)} "
            f"images and {len(names)} names"
        )
    for inspection in inspections:
        for what, maps in [
            ("norms", inspection.norms),
            ("features", inspection.features),
            *inspection.attention.items(),
        ]:
            if not maps.isfinite().all():
                name = what if isinstance(what, str) else f"attention of block {what}"
                raise InputError(
                    f"the {name} of the model {column_label(inspection)} hold NaN or infinite "
                    "values: check the weights and the images, or run the model in float32"
                )


def _model_and_size(summary: dict[str, Any]) -> str:
    height, width = summary["size"]
    count = len(summary["images"])
    return f"{summary['model']}, {width} × {height} px, {count} image{'s' * (count != 1)}"


def _table(inspections: Sequence[Inspection], summary: dict[str, Any]) -> str:
    """One row per number, one column per kind of registers."""
    columns = [summary["registers"][inspection.registers] for inspection in inspections]
    heads = "".join(
        f'<th scope="col" class="kind-{kind}">{escape(column_label(inspection))}</th>'
        for kind, inspection in enumerate(inspections)
    )
    names = list(_numbers(columns[0], summary))
    cells = [list(_numbers(column, summary).values()) for column in columns]
    rows = "".join(
        f'<tr><th scope="row">{escape(name)}</th>{"".join(f"<td>{v}</td>" for v in values)}</tr>'
        for name, *values in zip(names, *cells, strict=True)
    )
    return (
        f'<table><thead><tr><th scope="col">All images, after block {summary["block"]}</th>{heads}'
        f"</tr></thead><tbody>{rows}</tbody></table>"
    )


def _numbers(column: dict[str, Any], summary: dict[str, Any]) -> dict[str, str]:
    """The rows of the table for one kind of registers, formatted."""
    block, has_threshold = summary["block"], summary["threshold"] is not None
    numbers = {}
    if has_threshold:
        numbers["Outlier patches"] = percent(column["outlier_fraction"])
    numbers["Largest patch norm"] = f"{column['largest_norm'][block]:.0f}"
    numbers["Median patch norm"] = f"{column['median_norm'][block]:.0f}"
    if column["attention_entropy"]:
        last = max(column["attention_entropy"], key=int)
        if has_threshold:
            numbers["CLS attention on outliers"] = percent(column["attention_on_outliers"][last])
        numbers["Entropy of CLS attention"] = percent(column["attention_entropy"][last])
    return numbers


def _method(summary: dict[str, Any]) -> str:
    rule = f"No threshold for outliers: {summary['threshold_source']}."
    if summary["threshold"] is not None:
        rule = (
            f"An outlier is a patch whose norm after block {summary['block']} is above "
            f"{summary['threshold']:.3g} (from {summary['threshold_source']})."
        )
    entropies = next(iter(summary["registers"].values()))["attention_entropy"]
    if entropies:
        rule += (
            f" CLS attention is that of block {max(entropies, key=int)}: what the first column's "
            "outlier patches get of it, and its entropy over the patches, as a share of uniform "
            "attention's."
        )
    return f"{rule} Norms are L2 norms of raw block outputs; blocks and heads count from 0."
