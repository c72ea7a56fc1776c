"""The shape of the package: imports point one way, files are short, there are no drawers."""

import ast
import functools
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

import ttr_backbones

PACKAGE = Path(ttr_backbones.__file__).parent


def part_of(path):
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


MODULES = sorted(path for path in PACKAGE.rglob("*.py") if part_of(path) != "configs")
ROOT = {
    *("errors", "package_data", "safe_load", "atomic", "folder_files", "file_damage", "file_hash"),
    *("result_names", "text_table", "timm_names", "comma_list", "tensors_file"),
}

METHOD = {"compat", "vits", "images", "neuron_search", "repairs"}
# What a config is made of: models, data, metrics, hooks.
BUILT = {
    *("registers", "backbones", "losses", "heads", "segmentors", "datasets", "evaluation"),
    *("object_discovery", "engine", "classification", "probes", "report", "distillation"),
    *("text_vectors", "attention_masks", "zero_shot", "open_vocabulary"),
}
BENEATH_APP = ROOT | METHOD | BUILT | {"tasks", "recipes"}

# What each part may import of the package; every part may import itself.
ARROWS = {
    "__init__": set(),
    "errors": set(),
    "package_data": {"errors"},
    "atomic": {"errors"},
    "tensors_file": {"atomic", "errors"},
    "safe_load": {"errors"},
    "file_hash": set(),
    "folder_files": set(),
    "file_damage": set(),
    "result_names": set(),
    "text_table": {"atomic", "errors"},
    "comma_list": set(),
    "timm_names": set(),
    "compat": {"errors", "safe_load"},
    "vits": ROOT | {"compat"},
    "images": ROOT | {"compat", "vits"},
    "neuron_search": ROOT | {"compat", "vits", "images"},
    "repairs": ROOT | {"compat", "vits", "images", "neuron_search"},
    "registers": ROOT | METHOD,
    "vlm": ROOT | {"compat", "vits", "images", "neuron_search"},
    "backbones": ROOT | METHOD | {"registers"},
    "losses": ROOT | {"compat"},
    "heads": ROOT | {"compat", "losses"},
    "segmentors": ROOT | {"compat"},
    "datasets": ROOT | METHOD | {"registers"},
    "text_vectors": ROOT | METHOD | {"backbones", "datasets", "engine"},
    "evaluation": ROOT | {"compat", "engine"},
    "open_vocabulary": ROOT | METHOD | {"backbones", "engine", "text_vectors"},
    "object_discovery": ROOT | METHOD | {"registers", "backbones", "datasets"},
    "engine": ROOT | METHOD | {"registers"},
    "attention_masks": ROOT | METHOD | {"backbones"},
    "classification": ROOT | METHOD | {"backbones", "engine", "text_vectors"},
    "zero_shot": ROOT | METHOD | {"backbones", "engine", "classification", "text_vectors"},
    "probes": ROOT
    | METHOD
    | {"backbones", "engine", "heads", "segmentors", "classification", "evaluation", "tasks"},
    "tasks": ROOT | {"compat", "evaluation", "engine"},
    "recipes": {"errors", "package_data", "compat", "tasks", "text_table", "timm_names"},
    "report": ROOT | METHOD | {"registers", "backbones", "engine"},
    # A repair that is trained by mmengine's Runner: `repairs` knows torch and timm only.
    "distillation": ROOT | METHOD | {"backbones", "datasets", "engine", "recipes"},
    "app": BENEATH_APP,
    "inference": BENEATH_APP | {"app"},
    "export": BENEATH_APP | {"app", "inference"},
    "compare": BENEATH_APP | {"app", "inference"},
    "benchmark": BENEATH_APP | {"app", "inference", "compare"},
    "atlas": BENEATH_APP | {"app"},
    "pointing": ROOT | {"compat", "vits", "registers", "vlm", "datasets", "tasks"},
    "attribution_page": ROOT | METHOD | {"registers", "datasets", "report", "vlm"},
    "bench": BENEATH_APP | {"app"},
    "demo": BENEATH_APP | {"app"},
    "cli": BENEATH_APP
    | {"app", "inference", "export", "compare", "benchmark", "atlas", "bench", "demo"}
    | {"vlm", "attribution_page"},
}


@functools.cache
def imported_modules(path):
    """Names of modules and of what is taken from them, also where only a type is."""
    names = []
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            names += [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
    return tuple(names)


def test_modules__import_only_what_their_package_may():
    wrong = {}
    for path in MODULES:
        part = part_of(path)
        used = {
            name.split(".")[1]
            for name in imported_modules(path)
            if name.startswith(f"{PACKAGE.name}.")
        }
        if more := used - ARROWS[part] - {part, "__version__"}:
            wrong[str(path.relative_to(PACKAGE))] = more
    assert not wrong


def test_imports__go_in_no_circle():
    """Neither between packages nor between the files of one; imports of types alone count too."""
    files = {}
    for path in MODULES:
        name = ".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts)
        files[name.removesuffix(".__init__")] = path
    between_files = {
        name: {used for used in imported_modules(path) if used in files} - {name}
        for name, path in files.items()
    }
    between_packages = {}
    for name, used in between_files.items():
        package = ".".join(name.split(".")[:2])
        arrows = between_packages.setdefault(package, set())
        arrows |= {".".join(other.split(".")[:2]) for other in used} - {package}
    for arrows in (between_packages, between_files):
        TopologicalSorter(arrows).prepare()  # raises a CycleError that names them


def test_method__knows_torch_and_timm_only():
    method = (METHOD - {"compat"}) | {"registers"}
    tells_the_log_of_a_run = PACKAGE / "vits" / "weights.py"
    foreign = {"mmengine", "mmcv", "mmseg", "matplotlib", "cv2"}
    wrong = {
        str(path.relative_to(PACKAGE)): used
        for path in MODULES
        if part_of(path) in method
        and path != tells_the_log_of_a_run
        and (used := foreign & {name.split(".")[0] for name in imported_modules(path)})
    }
    assert not wrong


def test_modules__are_short_and_no_drawers():
    lengths = {
        str(path.relative_to(PACKAGE)): len(path.read_text(encoding="utf-8").splitlines())
        for path in MODULES
    }
    assert {name: length for name, length in lengths.items() if length > 300} == {}
    drawers = {"utils", "util", "helpers", "helper", "misc", "common"}
    assert [str(path) for path in MODULES if drawers & {path.stem, path.parent.name}] == []


def test_root__every_public_name_resolves():
    for name in ttr_backbones.__all__:
        assert getattr(ttr_backbones, name) is not None
    assert set(ttr_backbones.__all__) <= set(dir(ttr_backbones))
    with pytest.raises(AttributeError, match="no attribute 'TimmVit'"):
        ttr_backbones.TimmVit  # noqa: B018


# What only `vits/` may know of a ViT, by the names of attributes.
INSIDE = {
    *("mlp", "fc1", "fc2", "attn", "qkv", "q_norm", "k_norm", "num_heads"),
    *("patch_embed", "patch_drop", "norm_pre", "fc_norm", "_pos_embed", "no_embed_class"),
    *("num_prefix_tokens", "num_reg_tokens", "has_class_token", "reg_token"),
    *("pretrained_cfg", "forward_features", "forward_head", "forward_intermediates"),
}
REASONS = {
    "bench/authors_form.py": "restates the authors' hook on timm's model, to compare with",
    "bench/contestants.py": "its baseline is timm's own pass in as few steps as it takes",
    "demo/planted.py": "plants its neurons in the weights of a timm Mlp that it made itself",
    "recipes/timm_facts.py": "reads the pretrained_cfg of a name for a config, without a model",
}


def reaches_inside(tree):
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute):
            # `vit.blocks`, whichever way the model is held; a command line has blocks of its own.
            model = getattr(node.value, "attr", None) or getattr(node.value, "id", None)
            blocks = node.attr == "blocks" and model in {"vit", "model", "planted", "backbone"}
            if (node.attr in INSIDE and model != "family") or blocks:
                yield f"line {node.lineno}: .{node.attr}"


def test_vits__are_the_only_code_that_reaches_inside_a_vit():
    found = {}
    for path in MODULES:
        if part_of(path) != "vits":
            lines = [*reaches_inside(ast.parse(path.read_text(encoding="utf-8")))]
            if lines:
                found[path.relative_to(PACKAGE).as_posix()] = lines
    assert {path: lines for path, lines in found.items() if path not in REASONS} == {}
    assert set(REASONS) <= set(found)  # a reason that is needed no more goes
