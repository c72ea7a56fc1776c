"""What the numbers show and do not show, in sentences: the same on every kind of page."""

from __future__ import annotations

from ttr_backbones.benchmark.report import Report
from ttr_backbones.benchmark.statistics import LEAST_IMAGES, RowResult
from ttr_backbones.compare.repair_names import repair_label
from ttr_backbones.compare.summary import NOTHING
from ttr_backbones.text_table import aligned

TITLE = "Benchmark of ViT repairs"
_FEW = 30  # images, below which a percentile bootstrap is known to be too narrow


def measured(result: RowResult) -> str:
    """Write a number, with its standard deviation over the seeds."""
    if result.mean is None:
        return NOTHING
    return result.row.metric.shown(result.mean, result.std)


def interval(result: RowResult) -> str:
    """Write the interval of a number, "" without."""
    if result.interval is None:
        return ""
    digits = result.row.metric.decimals
    return f"[{result.interval.low:.{digits}f}, {result.interval.high:.{digits}f}]"


def difference(result: RowResult) -> str:
    """Write a difference with its interval, "" without."""
    if result.difference is None:
        return ""
    digits, found = result.row.metric.decimals, result.difference
    if found.interval is None:
        return f"{found.value:+.{digits}f}"
    ends = f"[{found.interval.low:+.{digits}f}, {found.interval.high:+.{digits}f}]"
    return f"{found.value:+.{digits}f} {ends}"


def published(result: RowResult) -> str:
    """Write the paper's number and how ours lies beside it, "" without one."""
    number = result.row.published
    if number is None:
        return ""
    beside = {
        "within": "within our interval",
        "above": "ours is above it",
        "below": "ours is below it",
    }.get(result.judgement, result.judgement)
    return f"paper: {number.shown} ({beside})" if beside else f"paper: {number.shown}"


def summary(report: Report) -> list[str]:
    """Say in a few sentences what the page shows."""
    compared = report.compared
    tasks = len({result.row.experiment for result in report.results})
    backbones = len({result.row.backbone for result in report.results})
    kinds = {result.row.repair for result in report.results}
    text = [
        f"{_count(backbones, 'backbone')}, {_count(len(kinds), 'repair')} (none "
        f"counts as one), {_count(tasks, 'task')}."
    ]
    if compared:
        chance = len(compared) / 20
        text.append(
            "Differences to no repair that lie outside of what other images of the same kind would "
            f"give (95 % intervals): {len(report.shown)} of {len(compared)}; if no repair did "
            f"anything, about {chance:.1f} would."
        )
    return text


def shown(report: Report) -> list[str]:
    """Name the differences that are not zero, by their intervals."""
    return [f"{_sentence(result)}." for result in report.shown]


def results_text(report: Report) -> list[str]:
    """Lay out all results for a terminal."""
    text: list[str] = []
    for name in dict.fromkeys(result.row.experiment for result in report.results):
        lines = [result for result in report.results if result.row.experiment == name]
        row = lines[0].row
        text += ["", f"{row.backbone}, {row.task} ({row.metric.heading}){images(lines[0])}"]
        head = ["repair", "measured", "95 % interval", "difference to none", "", ""]
        cells = [
            [
                repair_label(result.row.repair),
                measured(result),
                interval(result),
                difference(result),
                result.verdict,
                published(result),
            ]
            for result in lines
        ]
        text += aligned([head, *cells], "lrrrll")
    return text[1:]


def _sentence(result: RowResult) -> str:
    row = result.row
    return (
        f"{repair_label(row.repair)} is {result.verdict} on {row.task} ({row.backbone}) by "
        f"{difference(result)} {row.metric.unit} {row.metric.name}"
    )


def not_shown(report: Report) -> list[str]:
    """Say what is not shown, and what it would take."""
    text = []
    few = {r.row.task: r.images for r in report.results if r.verdict == "too few images"}
    text += [
        f"{task}: {images} images are too few for an interval; from {LEAST_IMAGES} on there is "
        "one, for with fewer even images that all agree may do so by chance."
        for task, images in few.items()
    ]
    for result in report.compared:
        found = result.difference
        if found is None or result.verdict != "not shown":
            continue
        needed = found.images_needed
        takes = (
            "the two are equal here"
            if needed is None
            else f"about {needed:,} images would show a difference of this size, there are "
            f"{found.images:,}"
        )
        text.append(
            f"{result.row.task} ({result.row.backbone}), {repair_label(result.row.repair)}: "
            f"{difference(result)} {result.row.metric.unit}; {takes}."
        )
    return text


def left_out(report: Report) -> list[str]:
    """Say what was left out, every reason once."""
    names: dict[str, list[str]] = {}
    for what, why in report.left_out:
        names.setdefault(why, []).append(what)
    return [f"{', '.join(of_reason)}: {why}" for why, of_reason in names.items()]


def reading(report: Report) -> list[str]:
    """Say how the numbers are to be read."""
    few = sorted({r.images for r in report.results if r.images is not None and r.images < _FEW})
    text = [
        f"Numbers are means over the seeds {', '.join(map(str, report.seeds))} ± their sample "
        "standard deviation, where something is trained; without training there is one run.",
        f"Brackets are 95 % intervals of {report.rounds:,} data sets drawn from the images with "
        "replacement: how far the number would move with other images of the same kind. Other "
        "training images or seeds would move it further; that is not in them.",
        "Differences are paired: both models on the same drawn images, with the same seeds.",
        "Images needed: intervals shrink with the square root of their number. It is a rule of "
        "thumb for a difference that stays what it is here.",
    ]
    if few:
        text.append(
            f"Tasks of fewer than {_FEW} images (here {', '.join(map(str, few))}): intervals of so "
            "few images are too narrow, and rank nothing."
        )
    text += _classes(report)
    changed = {name: why for name, why in report.changes.items() if why}
    text += [f"{name} compares with no published number: {why}." for name, why in changed.items()]
    return text


def _classes(report: Report) -> list[str]:
    """Say of which classes a mean over classes is, where the images do not hold all."""
    held, text = [], []
    for name in dict.fromkeys(result.row.experiment for result in report.results):
        result = next(result for result in report.results if result.row.experiment == name)
        row, classes = result.row, result.classes
        if classes is None or result.mean is None or result.of_present is None:
            continue
        if classes.present < classes.known:
            held.append(
                f"{row.task}: {classes.present} of {classes.known} classes, and "
                f"{row.metric.shown(result.mean)} ({repair_label(row.repair)}) is "
                f"{row.metric.shown(result.of_present)} as the mean of these"
            )
    if held:
        text.append(
            "mIoU is mmseg's: a class that is predicted but in no image counts as 0. Where the "
            f"images do not hold all classes: {'; '.join(held)}."
        )
    if any(result.classes for result in report.results):
        text.append(
            "In a drawn set that lacks a class the mean is of the classes drawn, and what is drawn "
            "is centred on the score of all images; classes that no image holds keep their share."
        )
    return text


def images(result: RowResult) -> str:
    """Write ", 20 images, 14 of 20 classes", "" if nothing was kept of the images."""
    if not result.images:
        return ""
    classes = result.classes
    lacks = classes is not None and classes.present < classes.known
    held = f", {classes.present} of {classes.known} classes" if classes and lacks else ""
    return f", {_count(result.images, 'image')}{held}"


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"
