"""From what the user typed to a complete config."""

from __future__ import annotations

import argparse
import difflib
import inspect
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from mmengine.config import Config, ConfigDict
from mmengine.registry import init_default_scope
from mmengine.utils import import_modules_from_strings

from ttr_backbones.app.option_value import read_value
from ttr_backbones.errors import InputError, unknown_name
from ttr_backbones.recipes import named_config

# The last one holds the labelled images that kNN compares those of a test with.
LOADERS = ("train_dataloader", "val_dataloader", "test_dataloader", "test_cfg.bank")


def load_config(args: argparse.Namespace) -> Config:
    """Read the config that `args.config` names and apply the options that all commands share."""
    cfg = named_config(
        args.config,
        backbone=getattr(args, "backbone", None),
        repair=getattr(args, "repair", None),
    )
    apply_options(cfg, args.cfg_options)
    # mmengine 0.10 does this for text configs only.
    import_modules_from_strings(**cfg.get("custom_imports") or {"imports": []})
    if args.data_root is not None:
        set_data_root(cfg, args.data_root)
    cfg.work_dir = (
        args.work_dir or cfg.get("work_dir") or str(Path("work_dirs") / Path(cfg.filename).stem)
    )
    cfg.launcher = args.launcher
    return cfg


def read_config(
    config: str | Path | Config, options: Mapping[str, Any] | Sequence[str] | None
) -> Config:
    """Read a config with all that it imports registered.

    Args:
        config: a file, the name of a packaged config, or a Config (left as it is).
        options: changes to it: {"a.b": value}, or as on the command line, ["a.b=value"].

    Raises:
        MissingFileError: no such config.
        InputError: an option that cannot be read, or that nothing reads.
    """
    if isinstance(config, Config):
        cfg = config.copy()
    else:
        cfg = named_config(config)
    apply_options(cfg, options)
    # mmengine 0.10 does this for text configs only.
    import_modules_from_strings(**cfg.get("custom_imports") or {"imports": []})
    init_default_scope(cfg.get("default_scope", "mmseg"))
    if not isinstance(cfg.get("model"), dict):
        raise InputError(f"{cfg.filename or 'the config'} has no model: expected a complete config")
    return cfg


def apply_options(cfg: Config, options: Mapping[str, Any] | Sequence[str] | None) -> None:
    """Merge `--cfg-options key.sub=value ...`, or {"key.sub": value}, into `cfg` one by one.

    As in OpenMMLab, a new key may be added inside an existing one; an unknown first part of a key
    would have no effect, so it is an error. `read_value` says what becomes of a value: numbers,
    lists and the like as in Python, and anything else, such as a path, the string as it was typed.

    Raises:
        InputError: no KEY=VALUE, an unknown key, or a value that cannot be read or merged.
    """
    if isinstance(options, Mapping):
        for key, value in options.items():
            _check_key(cfg, key)
            _merge(cfg, key, value, key)
        return
    for option in options or []:
        key, equals, text = option.partition("=")
        if not (key and equals):
            raise InputError(
                f"--cfg-options expects key.sub=value, got {option!r}. Write no spaces around '=' "
                "and put a value with spaces in quotes."
            )
        _check_key(cfg, key)
        try:
            value = read_value(text, _current(cfg, key))
        except InputError as error:
            raise InputError(f"--cfg-options {option}: {error}") from error
        _merge(cfg, key, value, option)


def _merge(cfg: Config, key: str, value: Any, option: str) -> None:
    try:
        cfg.merge_from_dict({key: value})
    except (KeyError, TypeError) as error:
        raise InputError(f"--cfg-options {option}: {error.args[0]}") from error


def _current(cfg: Config, key: str) -> Any:
    """Return what `cfg` has under a key with dots, or None."""
    node: Any = cfg
    for part in key.split("."):
        if isinstance(node, dict | Config):
            node = node.get(part)
        elif isinstance(node, list | tuple) and part.isdigit() and int(part) < len(node):
            node = node[int(part)]
        else:
            return None
    return node


def _check_key(cfg: Config, key: str) -> None:
    first, *rest = key.split(".")
    known = set(cfg.keys()) | _runner_keys()
    if first not in known:
        raise InputError(f"--cfg-options {key}: " + unknown_name("config key", first, known))
    node: Any = cfg.get(first)
    for part in rest:
        if isinstance(node, dict) and part not in node:
            near = difflib.get_close_matches(part, map(str, node), n=1, cutoff=0.75)
            if near:
                print(
                    f"ttrb: note: --cfg-options adds {key!r}; the config has no {part!r} there, "
                    f"but it has {near[0]!r}.",
                    file=sys.stderr,
                )
            return
        if isinstance(node, dict):
            node = node[part]
        elif isinstance(node, list | tuple) and part.isdigit() and int(part) < len(node):
            node = node[int(part)]
        else:
            return  # merging says what is wrong, or replaces a None


def _runner_keys() -> set[str]:
    """Return the first parts of keys that mmengine and mmseg read, present in a config or not."""
    from mmengine.runner import Runner

    others = {"custom_imports", "compile", "tta_model", "tta_pipeline", "tta_cfg"}
    others |= {"activation_checkpointing", "efficient_conv_bn_eval", "model_wrapper_cfg"}
    return (set(inspect.signature(Runner).parameters) | others) - {"cfg"}


def type_name(cfg: dict[str, Any]) -> str:
    """Return the class name under `type`, which a config may give as a string or as the class."""
    kind = cfg.get("type", "")
    return kind.rpartition(".")[2] if isinstance(kind, str) else kind.__name__


def section(cfg: Any, key: str, default: dict[str, Any] | None = None) -> Any:
    """Return the dict under `key`, after putting `default` there if there is none.

    `setdefault` of a config returns its argument, and the config holds a copy of it: what is
    written into the one is not in the other.
    """
    if cfg.get(key) is None:
        cfg[key] = {} if default is None else default
    return cfg[key]


def datasets(cfg: Config, loaders: tuple[str, ...] = LOADERS) -> Iterator[tuple[str, ConfigDict]]:
    """Yield (data loader's name, data set's config) for every data set, inside wrappers too."""
    for loader in loaders:
        pending = [(_current(cfg, loader) or {}).get("dataset")]
        while pending:
            node = pending.pop()
            if not isinstance(node, dict):
                continue
            inner = [node.get("dataset"), *(node.get("datasets") or [])]
            if any(isinstance(item, dict) for item in inner):
                pending += inner
            else:
                yield loader, node


def set_data_root(cfg: Config, root: str) -> None:
    """Set `data_root` of every data set in `cfg`, and note those that it does not reach.

    Raises:
        InputError: It reaches none.
    """
    reached, missed = 0, []
    for loader, dataset in datasets(cfg):
        if "data_root" not in dataset:
            missed.append(f"{loader} has no data_root")
            continue
        dataset["data_root"] = root
        paths = dict(_paths_below_root(dataset))
        absolute = [key for key, path in paths.items() if Path(path).is_absolute()]
        missed += [f"{key} of {loader} is absolute" for key in absolute]
        reached += len(absolute) < len(paths) or not paths
    if not reached:
        why = f": {', '.join(dict.fromkeys(missed))}" if missed else ""
        raise InputError(
            f"--data-root: no data set of this config has a data_root that it uses{why}. Set the "
            "folders with --cfg-options, for example "
            "train_dataloader.dataset.data_prefix.img_path=DIR."
        )
    if missed:
        unreached = ", ".join(dict.fromkeys(missed))
        print(f"ttrb: note: --data-root does not reach all: {unreached}.", file=sys.stderr)


def _paths_below_root(dataset: ConfigDict) -> Iterator[tuple[str, str]]:
    """Yield (key, path) of what lies below the data_root of a data set."""
    prefixes = dataset.get("data_prefix")
    for key, path in (prefixes if isinstance(prefixes, dict) else {}).items():
        if isinstance(path, str) and path:
            yield f"data_prefix.{key}", path
    if isinstance(dataset.get("ann_file"), str) and dataset["ann_file"]:
        yield "ann_file", dataset["ann_file"]
