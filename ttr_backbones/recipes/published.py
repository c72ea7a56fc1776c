"""The numbers that others published, the rows of `configs/published.csv`."""

from __future__ import annotations

import csv
import functools
from typing import NamedTuple

from ttr_backbones.errors import InputError
from ttr_backbones.package_data import configs_dir


class PublishedNumber(NamedTuple):
    """One row.

    Args:
        backbone: its file in `configs/backbones`.
        repair: its file in `configs/repairs`; "" without.
        protocol: the file in `configs/protocols` that comes nearest to how it was measured.
        metric: name of the number.
        value: it, with the digits that were printed.
        std: its standard deviation, likewise; "" where none was published.
        source: where it stands.
        note: how it was measured otherwise than the protocol says; "" if it was not.
    """

    backbone: str
    repair: str
    protocol: str
    metric: str
    value: str
    std: str
    source: str
    note: str


@functools.cache
def published_numbers() -> tuple[PublishedNumber, ...]:
    """Read all rows, in the order of the file.

    Raises:
        InputError: the file is not as it should be.
    """
    path = configs_dir() / "published.csv"
    with path.open(encoding="utf-8", newline="") as file:
        rows = list(csv.reader(file))
    fields = list(PublishedNumber._fields)
    if rows[:1] != [fields] or any(len(row) != len(fields) for row in rows):
        raise InputError(f"{path}: expected the columns {', '.join(fields)} in every line")
    return tuple(PublishedNumber(*row) for row in rows[1:])
