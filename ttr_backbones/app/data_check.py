"""Opening and checking every file of a config's data sets."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

from mmengine.config import Config, ConfigDict
from mmengine.registry import DATASETS, init_default_scope

from ttr_backbones.app.config import datasets, type_name
from ttr_backbones.app.config_errors import clear_config_errors
from ttr_backbones.app.data_folders import check_dataset_folders
from ttr_backbones.app.failure import original_message
from ttr_backbones.app.progress import ProgressBar
from ttr_backbones.datasets.annotations_error import AnnotationsError
from ttr_backbones.datasets.label_counts import LabelCounts
from ttr_backbones.datasets.left_out import left_out
from ttr_backbones.errors import InputError

_THREADS = 8
_AT_ONCE = 64  # samples between two looks at the progress; their images are gone by then
_OFFICIAL = {
    "ADE20KDataset": {"training": 20210, "validation": 2000},
    "PascalVOCDataset": {"train": 1464, "trainaug": 10582, "val": 1449},
    "PascalVOC20Dataset": {"train": 1464, "trainaug": 10582, "val": 1449},
    "PascalContextDataset": {"train": 4996, "val": 5104},
    "PascalContextDataset59": {"train": 4996, "val": 5104},
    "COCOStuffDataset": {"train2017": 118287, "val2017": 5000},
    "COCOObjectDataset": {"train2017": 118287, "val2017": 5000},
    "CityscapesDataset": {"train": 2975, "val": 500},
    "NYUDepthV2": {"train": 24231, "test": 654},
    "KITTIDepth": {"Eigen train": 23158, "Eigen test": 652},
    "VOCBoxes": {"VOC2007 trainval": 5011, "VOC2012 trainval": 11540},
    "COCO20k": {"all": 19817},
    "ImageNetSegmentation": {"all": 4276},
}


def distinct_datasets(cfg: Config) -> list[tuple[str, ConfigDict]]:
    """Return (names of its data loaders, config that only loads) of each data set of `cfg` once."""
    found: dict[str, tuple[list[str], ConfigDict]] = {}
    for loader, dataset in datasets(cfg):
        steps = [step for step in dataset.get("pipeline") or [] if _loads(type_name(step))]
        reading = ConfigDict({**dataset, "pipeline": steps})
        loaders, _ = found.setdefault(repr(reading), ([], reading))
        loaders.append(loader)
    if not found:
        raise InputError("the config has no data set: expected a train, val or test_dataloader.")
    return [(", ".join(loaders), dataset) for loaders, dataset in found.values()]


def _loads(transform: str) -> bool:
    """Return whether a transform, named as in OpenMMLab, reads files or checks what was read."""
    return transform.startswith("Load")


@dataclass(frozen=True)
class CheckedDataset:
    """What was found in a data set.

    Args:
        loaders: names of the data loaders that read it.
        kind: its type.
        problems: what is wrong.
        note: what else is worth a look.
        infos: the data info of every sample: its files, and what its annotations say.
    """

    loaders: str
    kind: str
    problems: list[str]
    note: str = ""
    infos: list[dict[str, Any]] = field(default_factory=list)

    @property
    def samples(self) -> int:
        """Number of samples."""
        return len(self.infos)

    @property
    def unlike_published(self) -> str:
        """How the number of samples differs from that of the published sets, "" if it does not."""
        official = _OFFICIAL.get(self.kind, {})
        if not (official and self.samples) or self.samples in official.values():
            return ""
        listed = ", ".join(f"{count} ({split})" for split, count in official.items())
        return f"the published sets have {listed}"


def check(
    cfg: Config, loaders: str, dataset: ConfigDict, *, data_root_option: bool = True
) -> CheckedDataset:
    """Open every file of a data set, and say what is wrong; see `check_dataset_folders`."""
    kind = type_name(dataset)
    if not dataset.pipeline:
        return CheckedDataset(
            loaders,
            kind,
            ["its pipeline has no Load... transform, so that it would open no file."],
        )
    annotations: list[str] = []
    try:
        check_dataset_folders(loaders, dataset, data_root_option=data_root_option)
        init_default_scope(cfg.get("default_scope") or "mmseg")
        with clear_config_errors():
            built, annotations = _built(dataset)
    except InputError as error:
        return CheckedDataset(loaders, kind, [original_message(error)])
    samples, problems, bar = len(built), annotations, ProgressBar()
    problems += left_out(built)
    labels = LabelCounts()
    try:
        with ThreadPoolExecutor(_THREADS) as pool:
            for start in range(0, samples, _AT_ONCE):
                indices = range(start, min(start + _AT_ONCE, samples))
                found = pool.map(lambda index: _problem(built, index, labels), indices)
                problems += [problem for problem in found if problem]
                bar(indices.stop, samples)
    finally:
        bar.close()
    classes = built.metainfo.get("classes") or ()
    infos = [built.get_data_info(index) for index in range(samples)]
    return CheckedDataset(
        loaders, kind, problems + labels.problems(classes), labels.note(classes), infos
    )


def _built(dataset: ConfigDict) -> tuple[Any, list[str]]:
    """Build a data set, without the images whose annotations are wrong, and say what is."""
    try:
        return DATASETS.build(dataset), []
    except AnnotationsError as error:
        if not error.data_list:
            raise
        built = DATASETS.build({**dataset, "lazy_init": True})
        right = error.data_list
        built.load_data_list = lambda: right
        built.full_init()
        return built, error.problems


def _problem(built: Any, index: int, labels: LabelCounts) -> str | None:
    """Load a sample as training does, and return what is wrong with it."""
    try:
        labels.add(built.prepare_data(index))
    except InputError as error:
        return _printable(error)
    except Exception as error:  # noqa: BLE001 -- a transform from elsewhere raises what it likes
        info = built.get_data_info(index)
        files = ", ".join(str(info[key]) for key in sorted(info) if key.endswith("_path"))
        return " ".join(f"{files}: {type(error).__name__}: {_printable(error)}".split())
    return None


def _printable(error: Exception) -> str:
    """Return a message whose file names may be in another encoding than UTF-8."""
    return str(error).encode("utf-8", "backslashreplace").decode()
