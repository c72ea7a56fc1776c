"""The tasks that the demo shows, and by which recipes; light, for the help of the command line."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ttr_backbones.demo.panels import Panel
    from ttr_backbones.tasks import Metric, Task


@dataclass(frozen=True)
class Demonstration:
    """A task on the drawn scenes.

    Args:
        name: of the task in `ttr_backbones.tasks.TASKS`.
        config: name of the recipe, without a register.
        ttr_config: the same with one test-time register.
        decimals: so many are shown; scenes this small say no more.
        note: what the line below the table says of the metric besides.
    """

    name: str
    config: str
    ttr_config: str
    decimals: int
    note: str = ""

    @property
    def task(self) -> Task[Any]:
        """The task itself."""
        from ttr_backbones.tasks import task_named

        return task_named(self.name)

    @property
    def metric(self) -> Metric:
        """The number that the table shows."""
        return self.task.metric

    @property
    def panel(self) -> Panel:
        """How the picture shows an answer."""
        from ttr_backbones.demo.panels import PANELS

        return PANELS[self.task.answer]

    @property
    def unit(self) -> str:
        """What the number is, for the line below the table."""
        direction = "higher" if self.metric.higher_is_better else "lower"
        return f"{self.metric.name} in {self.metric.unit_name}{self.note}: {direction} is better"


_ALL = (
    Demonstration("segmentation", "planted_linear_scenes", "planted_ttr_linear_scenes", 2),
    Demonstration(
        "depth",
        "planted_depth_scenes",
        "planted_ttr_depth_scenes",
        3,
        note=", mean over the images",
    ),
    Demonstration("object discovery", "planted_tokencut_scenes", "planted_ttr_tokencut_scenes", 1),
)
# By the name as an option has it.
DEMONSTRATIONS = {shown.name.replace(" ", "-"): shown for shown in _ALL}
