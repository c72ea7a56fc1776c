"""What a config's docstring says about itself: its title, its test, the papers' numbers.

Every packaged config begins with such a docstring; one of the user's may have none.
"""

from __future__ import annotations

import ast
import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

# `48.27 +-0.15 in the TTR paper, Table 13 (Denoising-ViT settings)`
_ENTRY = re.compile(
    r"(?P<value>\d+\.?\d*)(?: \+-(?P<std>\d+\.?\d*))?(?: \([^)]*\))? in (?:the )?(?P<source>.+)"
)
_PREFERRED = "TTR paper"


@dataclass(frozen=True)
class Published:
    """A number that others measured, in the unit of the config's metric.

    Args:
        shown: the number and its deviation with the digits that were printed.
        source: where it stands, and how its protocol differs.
    """

    shown: str
    source: str

    @property
    def value(self) -> float:
        """The number."""
        return float(self.shown.partition(" ")[0])

    @property
    def std(self) -> float | None:
        """Its standard deviation, if that was published."""
        _, sign, std = self.shown.partition(" ± ")
        return float(std) if sign else None


def docstring(path: Path) -> str:
    """Return the docstring of a config file, or "" if it has none."""
    if path.suffix != ".py":
        return ""
    return ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""


def published_numbers(doc: str) -> list[Published]:
    """Return all numbers under "Published ...", in the order of the docstring."""
    _, heading, rest = doc.partition("\nPublished ")
    lines = rest.splitlines()[1:] if heading else []
    entries: list[str] = []
    for line in lines:
        if not line.startswith("    "):
            break
        if _ENTRY.match(line.strip()):
            entries.append(line.strip())
        elif entries:  # the line before was too long
            entries[-1] += f" {line.strip()}"
    found = [match for entry in entries if (match := _ENTRY.match(entry))]
    return [
        Published(f"{m['value']} ± {m['std']}" if m["std"] else m["value"], m["source"])
        for m in found
    ]


def papers_number(docs: Mapping[str, str], kind: str) -> Published | None:
    """Return the number to show for one kind of registers, or None if nobody published one.

    The paper on test-time registers goes first, for it measured all kinds by one protocol; then
    the source that has numbers for most kinds, so that they compare; then the docstring's order.

    Args:
        docs: kind of registers -> docstring of its config.
        kind: one of them.
    """
    numbers = {kind: published_numbers(doc) for kind, doc in docs.items()}
    shared = Counter(number.source for found in numbers.values() for number in found)
    return max(
        numbers.get(kind, []),
        key=lambda number: (number.source.startswith(_PREFERRED), shared[number.source]),
        default=None,
    )


def title(doc: str) -> tuple[str, str] | None:
    """Return (backbone, task) of the first line, "Backbone, head, data.", or None."""
    backbone, comma, task = doc.partition("\n")[0].rstrip(".").partition(", ")
    if not comma:
        return None
    return re.sub(r" with (a|\d+) [\w-]+ registers?$", "", backbone), task


def needs_tta(doc: str) -> bool:
    """Return whether the published protocol, the "Test:" line, averages over scales and flips."""
    return bool(re.search(r"^Test: .*--tta\b", doc, re.MULTILINE))
