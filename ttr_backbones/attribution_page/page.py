"""The HTML page of answers and maps: verdict and table are plain HTML, read without scripts."""

from __future__ import annotations

from html import escape
from pathlib import Path
from typing import Any

from ttr_backbones.atomic import write_atomically
from ttr_backbones.attribution_page.comparison import SHORT, Comparison
from ttr_backbones.attribution_page.numbers import rows
from ttr_backbones.attribution_page.page_data import page_data
from ttr_backbones.report.one_file import one_file, page_part

MOST_ON_PAGE = 24
_PARTS = Path(__file__).with_name("page")

METHODS = {
    "attention": "attention of the position that predicts the token, mean over all layers and "
    "heads of the language model",
    "rollout": "attention rollout through all layers of the language model (arXiv 2005.00928)",
    "gradient": "attention times the positive gradient of the token's logit, mean over all layers "
    "and heads (arXiv 2103.15679)",
}


def write_page(path: str | Path, comparison: Comparison, found: dict[str, Any]) -> None:
    """Write the page of the first questions; all count in its table.

    Args:
        path: the HTML file; its folder is made.
        comparison: of `compare`.
        found: of `numbers`, of the same comparison.
    """
    shown = Comparison(comparison.pairs[:MOST_ON_PAGE], comparison.threshold)
    page = one_file(
        (_PARTS / "template.html").read_text(encoding="utf-8"),
        style=page_part("colours.css")
        + page_part("page.css")
        + (_PARTS / "page.css").read_text(encoding="utf-8"),
        script=page_part("base.js") + (_PARTS / "page.js").read_text(encoding="utf-8"),
        data=page_data(shown, found["questions"][:MOST_ON_PAGE]),
        title=escape(f"Where answers look: {found['model']}"),
        subject=escape(_subject(found)),
        verdict=escape(found["verdict"]),
        details=escape(found["details"]),
        table=_table(found),
        method=escape(_method(found)),
    )
    write_atomically(path, page.encode())


def _subject(found: dict[str, Any]) -> str:
    count = len(found["questions"])
    listed = ", ".join(f"{block}: {units}" for block, units in found["neurons"].items())
    shown = f" (the first {MOST_ON_PAGE} are shown)" if count > MOST_ON_PAGE else ""
    questions = f"{count} question{'s' * (count != 1)}{shown}"
    return f"{found['model']}, {questions}, register neurons {listed}"


def _table(found: dict[str, Any]) -> str:
    heads = "".join(
        f'<th scope="col" class="kind-{index}">{escape(kind)}</th>'
        for index, kind in enumerate(SHORT)
    )
    body = "".join(
        f'<tr><th scope="row">{escape(name)}</th>{"".join(f"<td>{c}</td>" for c in cells)}</tr>'
        for name, cells in rows(found)
    )
    return (
        f'<table><thead><tr><th scope="col">All questions</th>{heads}</tr></thead>'
        f"<tbody>{body}</tbody></table>"
    )


def _method(found: dict[str, Any]) -> str:
    rule = "no group of patches stands out"
    if found["threshold"] is not None:
        limit = f"{found['threshold']:.3g}"
        rule = f"an outlier is a patch whose norm is above {limit} without a register"
    return (
        f"Maps: {METHODS[found['method']]}, laid over the photograph as multiples of uniform "
        f"attention. Norms: of the tower's patches after block {found['block']}, which the "
        f"language model reads; {rule}. Entropy: 100 % is uniform. Darkened parts the model does "
        "not see."
    )
