"""Every config that once was a file of its own is the recipe of that name, value for value."""

import gzip
import json
from pathlib import Path

import pytest

from ttr_backbones.recipes import all_names, recipe

FIRST = Path(__file__).parent / "configs_by_file.json.gz"
# What every run shares: it changes for all at once, in default_runtime.py.
SHARED = {"custom_imports", "custom_hooks"}


def plain(value):
    """JSON of a config, with tuples told from lists."""
    if isinstance(value, dict):
        return {str(key): plain(inner) for key, inner in value.items()}
    if isinstance(value, tuple):
        return {"__tuple__": [plain(inner) for inner in value]}
    return [plain(inner) for inner in value] if isinstance(value, list) else value


@pytest.fixture(scope="module")
def first():
    with gzip.open(FIRST, "rt", encoding="utf-8") as file:
        return json.load(file)


def test_every_first_name_expands_to_the_very_config_of_its_file(first):
    assert len(first) == 235
    assert first.keys() <= {str(name) for name in all_names()}
    for name, expected in first.items():
        config = plain(recipe(name).to_dict())
        # What were `registers` are now one of several repairs.
        if registers := expected["model"]["backbone"].pop("registers", None):
            expected["model"]["backbone"]["repair"] = {"type": "test_time", **registers}
        for key in SHARED:
            config.pop(key), expected.pop(key)
        assert config == expected, name
