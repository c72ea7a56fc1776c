"""A name -> a full mmengine config: any backbone, with or without a repair, on any protocol."""

from ttr_backbones.recipes.axes import (
    AXES,
    axis_files,
    data_files,
    method_files,
    protocol_files,
    summary,
)
from ttr_backbones.recipes.axis_facts import backbone_facts, protocol_facts, trained_siblings
from ttr_backbones.recipes.folders import on_folders
from ttr_backbones.recipes.names import RecipeName, all_names, check_backbone, parse_name
from ttr_backbones.recipes.published import PublishedNumber, published_numbers
from ttr_backbones.recipes.recipe import named_config, recipe, repair_config, repair_imports

__all__ = [
    "AXES",
    "PublishedNumber",
    "RecipeName",
    "all_names",
    "axis_files",
    "backbone_facts",
    "check_backbone",
    "data_files",
    "method_files",
    "named_config",
    "on_folders",
    "parse_name",
    "protocol_facts",
    "protocol_files",
    "published_numbers",
    "recipe",
    "repair_config",
    "repair_imports",
    "summary",
    "trained_siblings",
]
