"""The page in Markdown, for an issue or a README."""

from __future__ import annotations

from collections.abc import Iterable

from ttr_backbones.benchmark import words
from ttr_backbones.benchmark.report import Report
from ttr_backbones.compare.repair_names import repair_label
from ttr_backbones.compare.repairs_table import side_effects_markdown
from ttr_backbones.text_table import markdown_row


def markdown_page(report: Report) -> str:
    """Return all of the page, numbers first."""
    text = [f"# {words.TITLE}", "", *words.summary(report), "", *_list(words.shown(report))]
    head = (
        "task",
        "repair",
        "images",
        "measured",
        "95 % interval",
        "difference to none",
        "",
        "paper",
    )
    for backbone in dict.fromkeys(result.row.backbone for result in report.results):
        text += [f"## {backbone}", "", markdown_row(head), "|---|---|---:|---:|---:|---:|---|---|"]
        for result in report.results:
            if result.row.backbone == backbone:
                text.append(
                    markdown_row(
                        (
                            f"{result.row.task}, {result.row.metric.heading}",
                            repair_label(result.row.repair),
                            words.images(result).removeprefix(", "),
                            words.measured(result),
                            words.interval(result),
                            words.difference(result),
                            result.verdict,
                            words.published(result),
                        )
                    )
                )
        text.append("")
    if report.effects:
        text += ["## What the repairs do to the model", ""]
        text += [
            side_effects_markdown(
                [
                    t._replace(tasks=[], rows=[r._replace(tasks=[]) for r in t.rows])
                    for t in report.effects
                ]
            )
        ]
        text += [*_list(report.notes)]
    text += ["## How to read it", "", *_list(words.reading(report))]
    text += ["## Not shown, and what it would take", "", *_list(words.not_shown(report))]
    text += ["## Left out, and why", ""]
    text += _list(words.left_out(report))
    if report.failed:
        text += ["## Failed", "", *_list(f"{what}: {why}" for what, why in report.failed)]
    text += ["## What went in", "", *_list(inputs(report))]
    text += ["## This run", "", *_list(run(report))]
    return "\n".join(text).rstrip() + "\n"


def inputs(report: Report) -> list[str]:
    """List data, weights, repairs, seeds and versions with their hashes."""
    text = [
        f"data: {facts.kind} ({facts.loaders}), {facts.samples} samples, {len(facts.files)} files, "
        f"SHA-256 {facts.sha256}"
        for facts in report.data
    ]
    text += [
        f"weights of {name}: {file}" + (f", SHA-256 {sha256}" if sha256 else "")
        for name, (file, sha256) in report.weights.items()
    ]
    text += [f"repair: {name}: SHA-256 {sha256}" for name, sha256 in report.artifacts.items()]
    versions = ", ".join(f"{name} {number}" for name, number in report.versions.items())
    return [*text, f"seeds: {', '.join(map(str, report.seeds))}", f"versions: {versions}"]


def run(report: Report) -> list[str]:
    """List what is of this run alone."""
    facts = report.run
    return [
        facts.date,
        facts.machine,
        f"{facts.seconds / 60:.1f} minutes for all cells together",
        f"`{facts.command}`",
    ]


def _list(lines: Iterable[str]) -> list[str]:
    return [*(f"- {line}" for line in lines), ""]
