"""`Inferencer`: masks, depth or boxes for any images, from a config and a checkpoint."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from mmengine.config import Config
from mmengine.runner.amp import autocast

from ttr_backbones.app.config import read_config
from ttr_backbones.app.config_errors import clear_config_errors
from ttr_backbones.app.devices import choose_device
from ttr_backbones.app.feature_cache import require_frozen_backbone
from ttr_backbones.backbones import TimmViT
from ttr_backbones.backbones.cached import cache_features
from ttr_backbones.classification.bank import Progress
from ttr_backbones.errors import InputError
from ttr_backbones.inference.labelled_images import read_labelled_images
from ttr_backbones.inference.model import build_model, classes_and_palette, test_dataset
from ttr_backbones.inference.pipeline import ImagePipeline, LoadedImage
from ttr_backbones.inference.read_ahead import batched, read_ahead
from ttr_backbones.inference.sources import Source, image_sources
from ttr_backbones.object_discovery.preprocessor import by_size
from ttr_backbones.tasks import TASKS, Labels, Prediction, Task, find_task


class Inferencer:
    """A trained model, or an object discoverer, for any images.

    It does to an image what `ttrb test` does with the same config: the test pipeline (without its
    ground truth), the data_preprocessor, windows or whole images, flips, `test_cfg.fp16`.

        predict = Inferencer("augreg_vitt16_ttr_linear_ade20k", "iter_40000.pth")
        masks = [prediction.mask for prediction in predict("photos/", batch_size=8)]

    Args:
        config: a config file, the name of a packaged config, or a Config.
        checkpoint: a file of `ttrb train`, a released head, or its URL; object discovery has none.
        device: a torch device; by default the GPU if there is one.
        cfg_options: changes to the config: {"a.b": value} or ["a.b=value"].
        feature_cache: folder that features of a frozen backbone are kept in, see `FeatureCache`:
            kNN's labelled images are computed once.
        progress: called with (labelled images done, of how many), which only kNN has.

    Raises:
        MissingFileError: no such config or checkpoint.
        InputError: whatever else is wrong with them.
    """

    def __init__(
        self,
        config: str | Path | Config,
        checkpoint: str | Path | None = None,
        *,
        device: str | None = None,
        cfg_options: Mapping[str, Any] | Sequence[str] | None = None,
        feature_cache: str | Path | None = None,
        progress: Progress | None = None,
    ) -> None:
        self.cfg = read_config(config, cfg_options)
        dataset = test_dataset(self.cfg)
        if feature_cache is not None:
            require_frozen_backbone(self.cfg)
        self.device = choose_device(device)
        self.checkpoint = None if checkpoint is None else str(checkpoint)
        with clear_config_errors():
            self._pipeline = ImagePipeline(dataset["pipeline"])
        self.model: Any = build_model(self.cfg, checkpoint).to(self.device)
        if feature_cache is not None:
            backbone = self.model.backbone
            assert isinstance(backbone, TimmViT)  # `require_frozen_backbone` has checked the config
            cache_features(backbone, feature_cache)
        self._fp16 = bool((self.cfg.get("test_cfg") or {}).get("fp16", False))
        read_labelled_images(self.model, self.cfg, progress)
        # A model that is given names of classes may have others than the data set.
        names = getattr(self.model, "class_names", ())
        head = getattr(self.model, "decode_head", None)
        count = len(names) or getattr(head, "num_classes", None) or 0
        self.labels = Labels(*classes_and_palette(dataset, count, names))
        self.task = find_task(self.cfg)

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the classes, () where there are none."""
        return self.labels.classes

    def __repr__(self) -> str:
        """Tell what it predicts, of what, and where."""
        head = getattr(self.model, "decode_head", self.model)
        classes = f", {len(self.classes)} classes" if self.classes else ""
        name = Path(self.cfg.filename).stem if self.cfg.filename else "Config"
        return (
            f"Inferencer({name!r}, checkpoint={self.checkpoint!r}, device={str(self.device)!r}): "
            f"{type(self.model).__name__} with {type(head).__name__}{classes}"
        )

    def __call__(
        self, images: Any, *, batch_size: int = 1, logits: bool = False
    ) -> list[Prediction]:
        """Predict.

        Args:
            images: path of an image or of a folder (str or Path), PIL image, RGB uint8 array
                [H, W, 3] or [B, H, W, 3], or a list of these.
            batch_size: images read and predicted together; those of one size in one pass.
            logits: of segmentation: keep the head's scores of all classes in `ClassMap.logits`.

        Returns:
            One prediction per image, in order, as the task has it: `ClassMap`, `DepthMap`, ...

        Raises:
            MissingFileError: a file does not exist.
            InputError: files that are no images (all are named), or that cannot be decoded; logits
                of a model that has none.
        """
        return list(self.stream(images, batch_size=batch_size, logits=logits))

    def stream(
        self,
        images: Any,
        *,
        batch_size: int = 1,
        bad: list[tuple[Path, str]] | None = None,
        logits: bool = False,
    ) -> Iterator[Prediction]:
        """Predict as `__call__` does, holding two batches of images at a time.

        Args:
            images: as there; the headers of all files are looked at before the first prediction.
            batch_size: as there.
            bad: gets (file, reason) of files that are no images or whose pixels cannot be decoded,
                and the others go on; without it they are an error.
            logits: as there.
        """
        if batch_size < 1:
            raise InputError(f"batch_size={batch_size}: expected a number above 0")
        if logits and self.task is not None and self.task.logits is None:
            raise InputError(f"logits=True, but {type(self.model).__name__} predicts no classes.")
        sources = image_sources(images, bad)

        def read(source: Source) -> LoadedImage | None:
            try:
                return self._pipeline(source)
            except InputError as error:
                if bad is None or not isinstance(source, Path):
                    raise
                bad.append((source, str(error)))
                return None

        for batch in batched(read_ahead(read, sources), batch_size):
            read_well = [loaded for loaded in batch if loaded is not None]
            yield from self._predict(read_well, logits=logits)

    @torch.no_grad()
    def _predict(self, batch: list[LoadedImage], *, logits: bool) -> list[Prediction]:
        """One pass per size of inputs; the order stays."""
        if hasattr(self.model, "keep_scores"):
            self.model.keep_scores = logits
        samples: dict[int, Any] = {}
        for indices in by_size([loaded.inputs for loaded in batch]):
            data = {
                "inputs": [batch[index].inputs for index in indices],
                "data_samples": [batch[index].sample for index in indices],
            }
            with autocast(device_type=self.device.type, enabled=self._fp16):
                predicted = self.model.test_step(data)
            samples |= dict(zip(indices, predicted, strict=True))
        return [self._prediction(loaded, samples[i], logits) for i, loaded in enumerate(batch)]

    def _prediction(self, loaded: LoadedImage, sample: Any, logits: bool) -> Prediction:
        task = self._task_of(sample)
        if logits and (task.logits is None or task.logits not in sample):
            raise InputError(f"logits=True, but {type(self.model).__name__} predicts no classes.")
        return task.prediction(loaded.path, loaded.image, sample, self.labels, logits=logits)

    def _task_of(self, sample: Any) -> Task[Any]:
        """The config's task; of a model that is of none, the one whose answer is there."""
        tasks = [self.task, *TASKS.values()] if self.task else TASKS.values()
        for task in tasks:
            if task.answer in sample:
                return task
        answers = ", ".join(dict.fromkeys(task.answer for task in tasks))
        raise InputError(
            f"{type(self.model).__name__} gave {sorted(sample.keys())}: expected one of {answers}"
        )
