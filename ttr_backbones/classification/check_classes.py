"""Whether all images of a run have the same classes, and the head as many."""

from __future__ import annotations

from typing import Any

from mmengine.hooks import Hook
from mmseg.registry import HOOKS

from ttr_backbones.engine.unwrap import unwrapped
from ttr_backbones.errors import InputError

_SHOWN = 5


@HOOKS.register_module()
class CheckClasses(Hook):
    """Stops a run whose images have other classes than its head, or two sets of them.

    A class is a number to a head: the place of its folder among the folders of its data set.
    """

    def before_train(self, runner: Any) -> None:
        """Compare the images of training and of validation."""
        _check_head(runner, runner.train_dataloader.dataset)
        if runner.val_loop is not None:
            check_same_classes(runner.train_dataloader.dataset, runner.val_loop.dataloader.dataset)

    def before_test(self, runner: Any) -> None:
        """Compare the head with the images of the test."""
        _check_head(runner, runner.test_loop.dataloader.dataset)


def check_same_classes(first: Any, second: Any) -> None:
    """Raise InputError unless two data sets have the same classes in the same order."""
    left, right = (tuple(dataset.metainfo.get("classes") or ()) for dataset in (first, second))
    if left == right:
        return
    more, absent = sorted(set(right) - set(left)), sorted(set(left) - set(right))
    parts = [
        f"{len(names)} only in the {which} ({', '.join(names[:_SHOWN])}"
        f"{', ...' if len(names) > _SHOWN else ''})"
        for which, names in (("first", absent), ("second", more))
        if names
    ]
    raise InputError(
        "two data sets of this run have different classes, and a class is numbered by its place "
        f"among them: {first.data_prefix} has {len(left)} and {second.data_prefix} {len(right)}: "
        f"{'; '.join(parts) or 'the same in another order'}. Give both the same class folders"
    )


def _check_head(runner: Any, dataset: Any) -> None:
    classes = len(dataset.metainfo.get("classes") or ())
    head = getattr(unwrapped(runner.model), "decode_head", None)
    scored = getattr(head, "num_classes", classes)
    if scored != classes:
        raise InputError(
            f"the images have {classes} classes and the head {scored}: set "
            f"model.decode_head.num_classes={classes} to train, or take the images that the head "
            "was trained for"
        )
