"""All faults in the annotations of one data set, in one error."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ttr_backbones.errors import InputError

_SHOWN = 10


class AnnotationsError(InputError):
    """Everything that is wrong with the annotations of a data set.

    Args:
        source: The file or list that the annotations are of.
        problems: One message each.
        data_list: The data infos of the images that nothing is wrong with, so that a check can go
            on with them.
    """

    def __init__(
        self, source: str, problems: Sequence[str], data_list: Sequence[dict[str, Any]]
    ) -> None:
        self.problems, self.data_list = list(problems), list(data_list)
        more = len(problems) - _SHOWN
        listed = "".join(f"\n  {problem}" for problem in problems[:_SHOWN])
        super().__init__(
            problems[0]
            if len(problems) == 1
            else f"{len(problems)} annotations of {source} are wrong:{listed}"
            + (f"\n  ... and {more} more" if more > 0 else "")
        )
