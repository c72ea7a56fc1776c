"""Options for some of the configs: `[FOR=]DIR` and `[FOR:]KEY=VALUE`.

FOR is the type of a data set (NYUDepthV2) or a config's name with wildcards (`*_voc07`).
"""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path

from mmengine.config import Config

from ttr_backbones.app.config import datasets, load_config, set_data_root, type_name
from ttr_backbones.errors import InputError, unknown_name
from ttr_backbones.recipes import RecipeName, named_config

# What a config that trains nothing, as those of object discovery, does not have.
_OF_TRAINING = {
    *("train_dataloader", "train_cfg", "val_dataloader", "val_cfg", "val_evaluator"),
    *("optim_wrapper", "param_scheduler"),
}

_PACKAGED = "data/"  # where all packaged configs have their data sets


@dataclass
class ConfigChanges:
    """What the user wants changed, and which of it was of use.

    Args:
        data_roots: `DIR` for all configs, `FOR=DIR` for some; the latter count more.
        cfg_options: `KEY=VALUE` for all configs, `FOR:KEY=VALUE` for some.
        data_folder: what takes the place of the folder `data/` of the packaged configs.
    """

    data_roots: Sequence[str] = ()
    cfg_options: Sequence[str] = ()
    data_folder: Path | None = None
    _kept_out: dict[str, list[str]] = field(default_factory=dict)
    _used: set[str] = field(default_factory=set)
    _seen: set[str] = field(default_factory=set)

    def load(self, source: str | Path | RecipeName, name: str) -> Config:
        """Load a config of the experiment `name`, a file or a recipe's name, and change it.

        Raises:
            InputError: see `load_config`.
        """
        untouched = named_config(source)
        kinds = {type_name(dataset) for _, dataset in datasets(untouched)}
        self._seen |= {name, *kinds}
        arguments = argparse.Namespace(
            config=source,
            cfg_options=self._chosen(untouched, name, kinds),
            data_root=None,
            work_dir=None,
            launcher="none",
        )
        cfg = load_config(arguments)
        self._set_roots(cfg, name, kinds)
        return cfg

    @property
    def notes(self) -> list[str]:
        """What the configs were changed by, and a line per config where some did not apply."""
        changed = [f"The configs were changed by {' '.join(self.cfg_options)}"]
        return changed[: len(self.cfg_options)] + [
            f"{name} trains nothing, so these do not apply to it: {', '.join(options)}"
            for name, options in self._kept_out.items()
        ]

    def check_all_used(self) -> None:
        """Check that every FOR named something.

        Raises:
            InputError: a FOR, or an option of training, that no config has.
        """
        for option in (*self.data_roots, *self.cfg_options):
            scope = _root(option)[0] if option in self.data_roots else _option(option)[0]
            if option not in self._used and scope is not None:
                raise InputError(
                    f"{option}: {unknown_name('data set type or config', scope, self._seen)}"
                )
            if option not in self._used:
                raise InputError(f"{option}: none of these configs trains anything")

    def used_by(self, cfg: Config, name: str) -> list[str]:
        """Return the options that change the experiment `name`, as they were written."""
        kinds = {type_name(dataset) for _, dataset in datasets(cfg)}
        chosen = set(self._chosen(cfg, name, kinds))
        return [
            option
            for option in self.cfg_options
            if (scoped := _option(option))[1] in chosen
            and (scoped[0] is None or _matches(scoped[0], name, kinds))
        ]

    def _chosen(self, cfg: Config, name: str, kinds: Iterable[str]) -> list[str]:
        chosen = []
        for option in self.cfg_options:
            scope, plain = _option(option)
            if scope is not None and not _matches(scope, name, kinds):
                continue
            first = plain.partition("=")[0].partition(".")[0]
            if scope is None and first in _OF_TRAINING and cfg.get("train_cfg") is None:
                kept_out = self._kept_out.setdefault(name, [])
                kept_out += [plain] if plain not in kept_out else []
                continue
            self._used.add(option)
            chosen.append(plain)
        return chosen

    def _set_roots(self, cfg: Config, name: str, kinds: Iterable[str]) -> None:
        for _, dataset in datasets(cfg):
            root = str(dataset.get("data_root") or "")
            if self.data_folder is not None and root.startswith(_PACKAGED):
                dataset["data_root"] = str(self.data_folder / root.removeprefix(_PACKAGED))
        roots = sorted(map(_root, self.data_roots), key=lambda root: root[0] is not None)
        for scope, folder in roots:
            if scope is None or fnmatchcase(name, scope):
                set_data_root(cfg, folder)
            elif scope in kinds:
                for _, dataset in datasets(cfg):
                    if type_name(dataset) == scope:
                        dataset["data_root"] = folder
            else:
                continue
            self._used.add(folder if scope is None else f"{scope}={folder}")


def _matches(scope: str, name: str, kinds: Iterable[str]) -> bool:
    return scope in kinds or fnmatchcase(name, scope)


def _root(option: str) -> tuple[str | None, str]:
    """Take `[FOR=]DIR` apart; a folder may have an `=` in its name."""
    scope, equals, folder = option.partition("=")
    if not equals or "/" in scope or Path(option).is_dir():
        return None, option
    return scope, folder


def _option(option: str) -> tuple[str | None, str]:
    """Take `[FOR:]KEY=VALUE` apart; a value may have a `:` in it."""
    key, equals, value = option.partition("=")
    scope, colon, key = key.rpartition(":")
    return (scope if colon else None), f"{key}{equals}{value}"
