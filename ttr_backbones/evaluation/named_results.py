"""What `ttrb test` saves of images, under names that are unique in the data set."""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from mmengine.hooks import Hook
from mmseg.engine.hooks import SegVisualizationHook
from mmseg.evaluation.metrics import IoUMetric
from mmseg.registry import HOOKS, METRICS

from ttr_backbones.result_names import result_stems


@HOOKS.register_module()
class NameResults(Hook):
    """Gives all images of a test to the metrics that save something of each."""

    def before_test(self, runner: Any) -> None:
        """Call `name_files` of the metrics that have it."""
        for metric in runner.test_loop.evaluator.metrics:
            if hasattr(metric, "name_files"):
                metric.name_files(image_files(runner.test_loop.dataloader.dataset))


@METRICS.register_module()
class NamedIoUMetric(IoUMetric):
    """mmseg's IoUMetric, which would save images of one name over each other's masks."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._names: dict[str, str] = {}

    def name_files(self, files: Sequence[str]) -> None:
        """Choose names for the masks of `files`."""
        self._names = result_stems(files)

    def process(self, data_batch: dict[str, Any], data_samples: Sequence[dict[str, Any]]) -> None:
        """Score a batch, and save its masks."""
        # mmseg makes the name from `img_path`, and uses it for nothing else.
        named = [
            {**sample, "img_path": f"{self._names[path]}.png"}
            if (path := str(sample.get("img_path"))) in self._names
            else sample
            for sample in data_samples
        ]
        super().process(data_batch, named)


@HOOKS.register_module()
class NamedVisualizationHook(SegVisualizationHook):
    """mmseg's SegVisualizationHook, which would save images of one name over each other.

    A picture keeps mmseg's name, of the file with its suffix, unless another has it too.
    """

    def before_test(self, runner: Any) -> None:
        """Choose names for the pictures of all images."""
        files = image_files(runner.test_loop.dataloader.dataset)
        times = Counter(Path(file).name.lower() for file in files)
        self._names = {
            file: stem
            for file, stem in result_stems(files).items()
            if times[Path(file).name.lower()] > 1
        }

    def _after_iter(
        self, runner: Any, batch_idx: int, data_batch: Any, outputs: Any, mode: str = "val"
    ) -> None:
        names = getattr(self, "_names", {}) if mode == "test" else {}
        for number, output in enumerate(outputs):
            name = names.get(str(output.img_path))
            if _is_no_file(str(output.img_path)):
                if self.draw and self.every_n_inner_iters(batch_idx, self.interval):
                    self._draw_input(data_batch["inputs"][number], output, mode)
                continue
            with _renamed(self._visualizer, name and f"{mode}_{name}"):
                super()._after_iter(runner, batch_idx, data_batch, [output], mode)

    def _draw_input(self, image: Any, output: Any, mode: str) -> None:
        """Draw what the model is given, BGR [3, H, W]: mmseg reads a file, and there is none."""
        rgb = image.flip(0).permute(1, 2, 0).cpu().numpy()
        self._visualizer.add_datasample(
            f"{mode}_{Path(output.img_path).name}",
            rgb,
            data_sample=output,
            show=self.show,
            wait_time=self.wait_time,
        )


def _is_no_file(path: str) -> bool:
    """Whether an image is a part of a file, as in ImageNet-Segmentation's."""
    return "://" not in path and not Path(path).exists() and Path(path).parent.is_file()


@contextlib.contextmanager
def _renamed(visualizer: Any, name: str | None) -> Iterator[None]:
    """Have `visualizer` draw under `name`, whatever name it is called with."""
    if name is None:
        yield
        return
    draw = visualizer.add_datasample
    visualizer.add_datasample = lambda _, *args, **kwargs: draw(name, *args, **kwargs)
    try:
        yield
    finally:
        del visualizer.add_datasample


def image_files(dataset: Any) -> list[str]:
    """Return the paths of the images of a data set, [] if it does not list them."""
    infos = (dataset.get_data_info(index) for index in range(len(dataset)))
    return [str(info["img_path"]) for info in infos if "img_path" in info]
