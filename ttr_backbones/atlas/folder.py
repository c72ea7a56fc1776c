"""The folder of an atlas: what is known of each model, its lists and pictures, and the tables."""

from __future__ import annotations

import json
import re
from dataclasses import asdict
from pathlib import Path

from ttr_backbones.atlas.entry import Entry, Findings
from ttr_backbones.atlas.table import comma_separated, markdown, page
from ttr_backbones.atomic import write_atomically
from ttr_backbones.errors import InputError

_ENTRIES = "atlas.json"


class AtlasFolder:
    """Entries by the title of their model, kept in the order of the first run that saw them.

    Every change is written at once, so that a run that ends goes on where it was.

    Args:
        path: made if it does not exist.

    Raises:
        InputError: there is an atlas that cannot be read.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        file = path / _ENTRIES
        try:
            stored = json.loads(file.read_text(encoding="utf-8")) if file.is_file() else {}
            self.entries = {title: Entry(**entry) for title, entry in stored.items()}
        except (ValueError, TypeError, AttributeError) as error:
            raise InputError(
                f"{file} is no table of `ttrb atlas` ({error}): give another --out, or remove it"
            ) from error

    def add(self, title: str, entry: Entry, findings: Findings | None = None) -> Entry:
        """Write what was found of a model, and the tables anew.

        Args:
            title: of the model.
            entry: its row, without names of files.
            findings: list and picture; None for a model that could not be looked at.

        Returns:
            The row, with the names of the files.
        """
        files = {}
        if findings is not None:
            name = _file_name(entry)
            files["picture"] = f"pictures/{name}.png"
            write_atomically(self.path / files["picture"], findings.picture)
            if findings.neurons is not None:
                files["neuron_list"] = f"lists/{name}.json"
                (self.path / "lists").mkdir(parents=True, exist_ok=True)
                findings.neurons.save(self.path / files["neuron_list"])
        self.entries[title] = entry = Entry(**{**asdict(entry), **files})
        entries = list(self.entries.values())
        stored = {name: asdict(one) for name, one in self.entries.items()}
        for name, text in {
            _ENTRIES: json.dumps(stored, indent=1),
            "atlas.md": markdown(entries),
            "atlas.csv": comma_separated(entries),
            "atlas.html": page(entries, self.path),
        }.items():
            write_atomically(self.path / name, text.encode())
        return entry


def _file_name(entry: Entry) -> str:
    """The model's tag, as lists that ship are called; weights of a file have their hash behind."""
    name = re.sub(r"[^\w.+-]+", "_", entry.model)
    return name if entry.source == "hub" else f"{name}-{(entry.weights_sha256 or '')[:8]}"
