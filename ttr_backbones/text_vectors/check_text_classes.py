"""The classes of the vectors are those of the data set, in its order."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from mmengine.hooks import Hook
from mmseg.registry import HOOKS

from ttr_backbones.engine.unwrap import unwrapped
from ttr_backbones.errors import InputError


@HOOKS.register_module()
class CheckTextClasses(Hook):
    """Stops a test whose vectors are of other classes than the labels: as many, in their order.

    A metric would count a class beyond the data set's nowhere.
    """

    def before_test(self, runner: Any) -> None:
        """Compare the model's `all_names` with the data set of the test.

        Raises:
            InputError: see `check_names`.
        """
        model: Any = unwrapped(runner.model)
        classes = runner.test_loop.dataloader.dataset.metainfo.get("classes")
        if classes:
            check_names(model.all_names, list(classes))


def check_names(vectors: Sequence[Sequence[str]], classes: Sequence[str]) -> None:
    """Check that vectors are those of the classes of a data set, in its order.

    Names that occur on one side only tell nothing, as WordNet numbers beside words do not.

    Args:
        vectors: names of each class.
        classes: names of the data set's.

    Raises:
        InputError: another number of classes, or a class whose names are those of another number.
    """
    if len(vectors) != len(classes):
        raise InputError(
            f"the vectors are of {len(vectors)} classes ({vectors[0][0]}, ...), and the data set "
            f"has {len(classes)} ({classes[0]}, ...): make them with `ttrb text` for the classes "
            "of the data set, one line for each (--classes takes its folder too)"
        )
    places = {_plain(name): number for number, names in enumerate(vectors) for name in names}
    for number, name in enumerate(classes):
        names = {_plain(other) for other in vectors[number]}
        place = places.get(_plain(name))
        if place is not None and _plain(name) not in names:
            raise InputError(
                f"class {number} of the data set is {name!r}, and the vectors have that name as "
                f"class {place}: make them in the order of the data set (`ttrb text ... --classes` "
                "takes its folder too)"
            )


def _plain(name: str) -> str:
    """Without case, row numbers and the punctuation of file names."""
    return re.sub(r"[\W_]+", " ", re.sub(r"\[\d+\]$", "", name)).strip().lower()
