"""Predict masks, depth or boxes for your own images; save pictures and data."""

from __future__ import annotations

import argparse
import json
import os
from collections.abc import Sequence
from pathlib import Path, PurePath
from typing import TYPE_CHECKING, Any

from ttr_backbones.atomic import (
    check_writable,
    no_empty_folder,
    write_atomically,
    writing_atomically,
)
from ttr_backbones.cli.arguments import add_cfg_options, add_feature_cache, add_recipe_options
from ttr_backbones.errors import InputError
from ttr_backbones.result_names import relative_paths, result_paths

if TYPE_CHECKING:
    from ttr_backbones.inference import Inferencer, Prediction

_WEIGHTS = (".pth", ".pt", ".ckpt", ".bin", ".safetensors")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `ttrb predict`."""
    parser.description = (
        "Predicts what CONFIG is for, exactly as `ttrb test` does, and writes into DIR: pictures/, "
        "and the data: masks/ (PNG of class numbers, their names in predictions.json), depth/ "
        "(16-bit PNG, by default millimetres), boxes.json or classes.json. predictions.json tells "
        "what came from which image. kNN reads its labelled images first (train/ below "
        "--data-root; with --feature-cache once), and takes the first of model.k."
    )
    parser.add_argument("config", help="config file, or the name of a packaged config")
    parser.add_argument(
        "inputs",
        nargs="+",
        metavar="[CHECKPOINT] IMAGES",
        help=f"checkpoint ({', '.join(_WEIGHTS)}; what trains nothing has none), then images and "
        "folders of images",
    )
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder to write to")
    parser.add_argument("--batch-size", type=int, default=1, help="images per batch (1)")
    parser.add_argument("--device", help="torch device (default: the GPU if there is one)")
    parser.add_argument("--data-only", action="store_true", help="draw no pictures")
    parser.add_argument(
        "--skip-bad", action="store_true", help="go on without images that cannot be used"
    )
    add_recipe_options(parser)
    parser.add_argument(
        "--data-root",
        metavar="DIR",
        help="of the data sets: kNN's labelled images",
    )
    add_feature_cache(parser)
    add_cfg_options(parser)
    # Python before 3.12.7 refuses positional arguments behind an option.
    parser.parse_args = parser.parse_intermixed_args  # type: ignore[method-assign]


def run(args: argparse.Namespace) -> int:
    """Predict, draw, save."""
    with no_empty_folder(args.out):
        return _run(args)


def _run(args: argparse.Namespace) -> int:
    if args.out.exists() and not args.out.is_dir():
        raise InputError(f"--out {args.out} is a file: expected a folder; it need not exist yet")
    if args.batch_size < 1:
        raise InputError(f"--batch-size {args.batch_size}: expected a number above 0")
    checkpoint, images = _split(args.inputs)

    from ttr_backbones.app.messages import warn
    from ttr_backbones.app.progress import ProgressBar
    from ttr_backbones.inference.sources import image_sources, raise_bad
    from ttr_backbones.tasks.of_config import output_scale

    bad: list[tuple[Path, str]] = []
    # Looked at before the model is made.
    sources = image_sources(images, bad if args.skip_bad else None)
    # One file may be named in several ways: a folder and the file in it, x/a.jpg and x/../x/a.jpg.
    paths = {os.path.normpath(s.absolute()): s for s in sources if isinstance(s, Path)}
    files = list(paths.values())
    if not files:
        raise_bad(bad, "None is left: give other images.")
    num_files = len(files) + len(bad)
    check_writable(args.out)
    predict = _inferencer(args, checkpoint)
    outputs = _Outputs(args.out, files, output_scale(predict.cfg), draw=not args.data_only)
    bar = ProgressBar()
    try:
        for prediction in predict.stream(files, batch_size=args.batch_size, bad=bad):
            outputs.add(prediction)
            bar(len(outputs.saved) + len(bad), num_files)
    finally:
        bar.close()
        outputs.close(predict, checkpoint)
    saved = f": {', '.join(outputs.kinds)} in {args.out}" if outputs.saved else ", nothing is saved"
    print(f"{len(outputs.saved)} of {num_files} images{saved}")
    if args.skip_bad and bad:
        warn(f"{len(bad)} images left out", bad)
    elif bad:
        raise_bad(bad, "The others are done. Repair or remove these, or go on without: --skip-bad.")
    return 0


def _inferencer(args: argparse.Namespace, checkpoint: str | None) -> Inferencer:
    """Make the model; of kNN the labelled images are read too."""
    from ttr_backbones.app.config import set_data_root
    from ttr_backbones.app.progress import ProgressBar
    from ttr_backbones.inference import Inferencer
    from ttr_backbones.recipes import named_config

    config = named_config(args.config, backbone=args.backbone, repair=args.repair)
    if args.data_root is not None:
        set_data_root(config, args.data_root)
    bar = ProgressBar("labelled images")
    try:
        return Inferencer(
            config,
            checkpoint,
            device=args.device,
            cfg_options=args.cfg_options or [],
            feature_cache=args.feature_cache,
            progress=bar,
        )
    finally:
        bar.close()


def _split(inputs: Sequence[str]) -> tuple[str | None, list[str]]:
    """Tell the checkpoint from the images."""
    first, *rest = inputs
    is_checkpoint = Path(first).suffix.lower() in _WEIGHTS
    images = rest if is_checkpoint else list(inputs)
    if not images:
        raise InputError(f"no images given: ttrb predict CONFIG {first} IMAGES... --out DIR")
    return (first if is_checkpoint else None), images


class _Outputs:
    """The files of a run, each under a name of its own.

    Args:
        folder: for all of them.
        files: the images; paths below the folder that holds them all become the names.
        scale: `output_scale` of the config's evaluator.
        draw: save pictures too.
    """

    def __init__(
        self, folder: Path, files: Sequence[Path], scale: float | None, *, draw: bool
    ) -> None:
        self.folder, self.scale, self.draw = folder, scale, draw
        self.saved: dict[str, dict[str, Any]] = {}
        self._folders: dict[str, None] = {}
        self._collected: dict[str, dict[str, Any]] = {}
        self._facts: dict[str, Any] = {}
        self._relative = relative_paths(files)
        self._names = result_paths(files)
        first = files[0]
        depth = len(self._relative[str(first)].parts)
        self._root = Path(os.path.normpath(first.absolute())).parents[depth - 1]

    def add(self, prediction: Prediction) -> None:
        """Save what was predicted for an image."""
        assert prediction.path is not None
        key = self._relative[str(prediction.path)].as_posix()
        path = self._names[str(prediction.path)]
        name = path.with_name(f"{path.name}.png")
        content = prediction.saved(self.scale)
        pngs = content.pngs | ({"pictures": prediction.draw()} if self.draw else {})
        files = {folder: self._png(folder, name, pixels) for folder, pixels in pngs.items()}
        self._folders |= dict.fromkeys(files)
        self.saved[key] = {**content.facts, **files}
        for file, fact in prediction.collected.items():
            self._collected.setdefault(file, {})[key] = content.facts[fact]
        self._facts |= prediction.facts(self.scale)

    @property
    def kinds(self) -> list[str]:
        """Names of what was written, pictures last."""
        return sorted([*self._collected, *self._folders], key=lambda name: name == "pictures")

    def close(self, predict: Inferencer, checkpoint: str | None) -> None:
        """Write the JSON files about what is there."""
        for file, of_images in self._collected.items():
            _write_json(self.folder / file, of_images)
        about = {
            "config": str(predict.cfg.filename),
            "checkpoint": checkpoint,
            "images_in": str(self._root),
            **self._facts,
            "images": self.saved,
        }
        _write_json(self.folder / "predictions.json", about)

    def _png(self, kind: str, name: PurePath, pixels: Any) -> str:
        from PIL import Image

        path = self.folder / kind / name
        with writing_atomically(path) as partial:
            Image.fromarray(pixels).save(partial, "PNG")
        return path.relative_to(self.folder).as_posix()


def _write_json(path: Path, content: Any) -> None:
    write_atomically(path, f"{json.dumps(content, indent=1)}\n".encode())
