"""Before a test: whether the model's classes are as many as the data set's."""

from __future__ import annotations

from typing import Any

from mmengine.hooks import Hook
from mmseg.registry import HOOKS

from ttr_backbones.engine.unwrap import unwrapped
from ttr_backbones.errors import InputError


@HOOKS.register_module()
class CheckTextClasses(Hook):
    """Stops a test in which the vectors are of other classes than the labels.

    IoUMetric would count predictions beyond the data set's classes nowhere.
    """

    def before_test(self, runner: Any) -> None:
        """Compare their numbers.

        Raises:
            InputError: they differ.
        """
        dataset = runner.test_loop.dataloader.dataset
        labels = dataset.metainfo.get("classes") or ()
        model: Any = unwrapped(runner.model)
        if labels and len(labels) != model.num_classes:
            raise InputError(
                f"the vectors are of {model.num_classes} classes ({model.class_names[0]}, ...), "
                f"and {type(dataset).__name__} has {len(labels)} ({labels[0]}, ...): give "
                "model.text of these classes, one line for each label"
            )
