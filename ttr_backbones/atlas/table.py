"""The table of an atlas as Markdown, CSV and one HTML page."""

from __future__ import annotations

import base64
import csv
import io
import re
from collections.abc import Sequence
from html import escape
from pathlib import Path

from ttr_backbones.atlas.entry import ERROR, FAILED, NO_OUTLIERS, NO_SET, PASSED, Entry
from ttr_backbones.repairs.judgement import percent
from ttr_backbones.text_table import markdown_row

HEADINGS = (
    "model",
    "weights",
    "outliers before",
    "outliers after",
    "neurons",
    "blocks",
    "cosine of other patches",
    "verdict",
    "licence of the weights",
)
_WORDS = {
    PASSED: "passed",
    FAILED: "FAILED",
    NO_SET: "FAILED: no set of neurons does it",
    NO_OUTLIERS: "no neurons to move",
    ERROR: "could not be done",
}
_SHORT = 160  # characters of a verdict that is not folded
_EXPLANATION = (
    "Outliers are patches far above the norms of the others, as a share of the patches of images "
    "that the search did not see; the cosine is that of all other patches to what they were. "
    "Passed: under 1 % of the outliers are left, random neurons leave most of them, and the cost "
    "is within that of a shift by one pixel or half of clearing the neurons."
)
_STYLE = """
:root { color-scheme: light dark; --line: #8884; --soft: #8881; }
body { font: 15px/1.45 system-ui, sans-serif; margin: 2rem auto; max-width: 82rem;
  padding: 0 1rem; }
h1 { font-size: 1.4rem; margin-bottom: .2rem; }
p { max-width: 50rem; }
table { border-collapse: collapse; width: 100%; }
th, td { border-bottom: 1px solid var(--line); padding: .5rem .7rem; text-align: left;
  vertical-align: top; }
th { font-weight: 600; line-height: 1.2; position: sticky; top: 0; background: Canvas;
  vertical-align: bottom; }
td.number { font-variant-numeric: tabular-nums; }
td.model { width: 17rem; }
small { display: block; opacity: .8; overflow-wrap: anywhere; }
img { display: block; height: 11rem; width: auto; background: white; border-radius: 3px; }
.passed b { color: #1a7f37; } .failed b, .no-set b, .error b { color: #cf222e; }
@media (prefers-color-scheme: dark) {
  .passed b { color: #57ab5a; } .failed b, .no-set b, .error b { color: #f47067; }
}
.error td, .no-outliers td { background: var(--soft); }
"""


def cells(entry: Entry) -> list[str]:
    """The row of a model under `HEADINGS`."""
    return [
        entry.model,
        entry.source,
        _percent(entry.outliers_before),
        _percent(entry.outliers_after),
        str(entry.num_neurons or ""),
        ", ".join(entry.neurons),
        "" if entry.cosine is None else f"{entry.cosine:.3f}",
        _WORDS[entry.status],
        entry.licence,
    ]


def markdown(entries: Sequence[Entry]) -> str:
    """A table and what its columns mean."""
    rows = [HEADINGS, ["---"] * len(HEADINGS), *map(cells, entries)]
    lines = map(markdown_row, rows)
    return "\n".join([*lines, "", f"*{_EXPLANATION}*", ""])


def comma_separated(entries: Sequence[Entry]) -> str:
    """The numbers in full, with hashes, lists and verdicts in words."""
    fields = (
        *("model", "source", "status", "outliers_before", "outliers_after", "num_neurons"),
        *("neurons", "cosine", "verdict", "licence", "neuron_list", "input_size"),
        *("weights_sha256", "images_sha256"),
    )
    written = io.StringIO()
    writer = csv.writer(written, lineterminator="\n")
    writer.writerow(fields)
    for entry in entries:
        values = {name: getattr(entry, name) for name in fields}
        values["neurons"] = " ".join(f"{b}:{u}" for b, us in entry.neurons.items() for u in us)
        writer.writerow("" if value is None else value for value in values.values())
    return written.getvalue()


def page(entries: Sequence[Entry], folder: Path) -> str:
    """One HTML file that needs no network: the table, with a picture of every model in it."""
    counts = [f"{sum(e.status == s for e in entries)} {word}" for s, word in _WORDS.items()]
    summary = ", ".join(count for count in counts if not count.startswith("0 "))
    heads = "".join(
        f'<th scope="col">{heading}</th>'
        for heading in ("model", "norms of one image", *HEADINGS[2:7], "verdict")
    )
    rows = "\n".join(_row(entry, folder) for entry in entries)
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width">'
        f"<title>Register neurons of {len(entries)} models</title><style>{_STYLE}</style></head>\n"
        f"<body><h1>Register neurons of {len(entries)} models</h1><p>{escape(summary)}.</p>"
        f"<p>{escape(_EXPLANATION)}</p>\n<table><thead><tr>{heads}</tr></thead>\n<tbody>\n{rows}\n"
        "</tbody></table></body></html>\n"
    )


def _row(entry: Entry, folder: Path) -> str:
    model, source, before, after, count, blocks, cosine, verdict, licence = map(
        escape, cells(entry)
    )
    model = re.sub(r"([._])", r"\1<wbr>", model)
    listed = ""
    if entry.neuron_list:
        listed = f'<small><a href="{escape(entry.neuron_list)}">list of neurons</a></small>'
    picture = ""
    if entry.picture and (folder / entry.picture).is_file():
        data = base64.b64encode((folder / entry.picture).read_bytes()).decode("ascii")
        alt = escape(f"photograph and patch norms of {entry.model}")
        picture = f'<img alt="{alt}" src="data:image/png;base64,{data}">'
    numbers = "".join(
        f'<td class="number">{c}</td>' for c in (before, after, count, blocks, cosine)
    )
    verdict_text = escape(entry.verdict)
    if len(verdict_text) > _SHORT:
        verdict_text = f"<details><summary>why</summary>{verdict_text}</details>"
    return (
        f'<tr class="{entry.status.replace(" ", "-")}">'
        f'<td class="model">{model}<small>weights: {source}</small><small>licence: {licence}'
        f"</small>{listed}</td><td>{picture}</td>{numbers}"
        f'<td class="verdict"><b>{verdict}</b><small>{verdict_text}</small></td></tr>'
    )


def _percent(share: float | None) -> str:
    return "" if share is None else percent(share)
