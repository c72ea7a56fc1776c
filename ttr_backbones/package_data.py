"""Where the files that belong to the package but are not Python modules lie."""

from __future__ import annotations

from pathlib import Path

from ttr_backbones.errors import MissingFileError

_PACKAGE = Path(__file__).resolve().parent
NEURON_LISTS = _PACKAGE / "vits" / "lists"  # <tagged timm name>.json
ARTIFACTS = _PACKAGE / "repairs" / "shipped"  # <type of repair>/<tagged timm name>.safetensors


def configs_dir() -> Path:
    """Return the folder of the shipped configs.

    A wheel carries them as `ttr_backbones/configs`; a clone, also when installed with `-e`, keeps
    them beside the package.
    """
    for folder in (_PACKAGE / "configs", _PACKAGE.parent / "configs"):
        if (folder / "_base_").is_dir():
            return folder
    raise MissingFileError(
        f"the configs of ttr_backbones should lie in {_PACKAGE / 'configs'} (installed) or "
        f"{_PACKAGE.parent / 'configs'} (clone), and neither exists. Install the package again: "
        "pip install --force-reinstall --no-deps ttr_backbones, or pip install -e . in a clone."
    )
