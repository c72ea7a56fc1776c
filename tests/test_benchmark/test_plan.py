"""What a benchmark runs on the data that is there, and what it leaves out and why."""

import dataclasses
import shutil
from pathlib import Path

import pytest

from ttr_backbones.benchmark.inputs import files_of_model
from ttr_backbones.benchmark.left_out import left_out_lines
from ttr_backbones.benchmark.plan import BenchmarkRequest, check_request, plan_benchmark
from ttr_backbones.benchmark.suite import choose_suite
from ttr_backbones.errors import InputError, MissingFileError
from ttr_backbones.recipes import recipe


@pytest.fixture
def request_of(tiny, data, tmp_path):
    def make(folder=data, protocols=("lost_voc07", "linear_voc2012"), kinds=("none",)):
        return BenchmarkRequest(
            {str(tiny / "tiny.py"): tiny / "tiny.safetensors"},
            folder,
            kinds,
            [0],
            choose_suite("short", protocols, None),
            tmp_path / "out",
        )

    return make


def test_suites__short_and_full_share_what_trains_nothing():
    short, full = (choose_suite(name, None, None) for name in ("short", "full"))
    assert {"lost_voc07", "lost_voc12", "linear_ade20k_200it"} <= set(short.protocols)
    assert {"lost_voc07", "linear_ade20k", "lin1_nyu_dvt"} <= set(full.protocols)
    assert "vanilla_classifier_voc20" in short.protocols
    assert choose_suite("short", ["sclip_voc21"], None).protocols == ("sclip_voc21",)
    assert "linear_ade20k" not in short.protocols
    assert short.others["linear_ade20k"] == "trains 40,000 iterations: `--suite full` has it"
    assert full.others["linear_ade20k_200it"].startswith("a trial run")
    assert short.changed("linear_ade20k_200it") == "50 of 200 iterations"
    assert short.changed("lost_voc07") == full.changed("linear_ade20k") == ""
    with pytest.raises(InputError, match="unknown protocol 'lost_voc7'"):
        choose_suite("short", ["lost_voc7"], None)
    with pytest.raises(InputError, match="--iterations 9: nothing of lost_voc07 is trained"):
        choose_suite("short", ["lost_voc07"], 9)


def test_plan__is_bound_to_the_content_of_data_and_weights(request_of, moved, tiny, tmp_path):
    here, elsewhere = plan_benchmark(request_of()), plan_benchmark(request_of(moved))
    (facts,), (same,) = here.data["lost_voc07"], elsewhere.data["lost_voc07"]
    assert facts == same, "the same files in another folder"
    weights = shutil.copy(tiny / "tiny.safetensors", tmp_path / "same.safetensors")
    backbones = dict.fromkeys(request_of().backbones, Path(weights))
    again = plan_benchmark(dataclasses.replace(request_of(moved), backbones=backbones))
    folders = [cell.folder for cell in here.cells]
    assert folders == [cell.folder for cell in again.cells], "nor does a name of weights count"
    assert next(path for path, _ in facts.files) == "VOCdevkit/VOC2007/JPEGImages/a.jpg"
    assert here.changes["lost_voc07"].startswith("6 images, the published sets have 5011")
    assert [what for what, _ in here.left_out] == ["linear_voc2012"]
    assert "PascalVOCDataset expects a folder at" in here.left_out[0][1]
    assert "--data-root" not in here.left_out[0][1], "the option is --data"
    (line,) = left_out_lines(here, request_of())
    data = request_of().data
    assert line == f"left out: not in {data}: VOCdevkit/VOC2012 (linear_voc2012)"

    box = moved / "VOCdevkit/VOC2007/Annotations/a.xml"
    box.write_text(box.read_text().replace("64", "63"))
    changed = plan_benchmark(request_of(moved))
    assert changed.data["lost_voc07"][0].sha256 != facts.sha256
    assert changed.cells[0].folder != elsewhere.cells[0].folder
    with (tmp_path / "same.safetensors").open("ab") as file:
        file.write(b" ")
    others = plan_benchmark(dataclasses.replace(request_of(), backbones=backbones))
    assert others.cells[0].folder != here.cells[0].folder

    (moved / "VOCdevkit/VOC2007/JPEGImages/b.jpg").write_bytes(b"no picture")
    with pytest.raises(InputError, match=r"nothing can be run on .*(?s:.)*b\.jpg"):
        plan_benchmark(request_of(moved))
    with pytest.raises(MissingFileError, match="expected a folder of data sets"):
        check_request(request_of(moved / "nowhere"))
    slip = dataclasses.replace(request_of(), backbones={"augreg_vitt17": None})
    with pytest.raises(MissingFileError, match=r"'augreg_vitt17'\. Did you mean 'augreg_vitt16'"):
        check_request(slip)


def test_plan__is_bound_to_the_content_of_what_else_the_model_reads(request_of, tmp_path):
    head = tmp_path / "head.pth"
    options = [f"load_from={head}"]
    request = dataclasses.replace(request_of(protocols=("lost_voc07",)), cfg_options=options)
    folders = []
    for content in (b"a", b"b", b"a"):
        head.write_bytes(content)
        folders.append(plan_benchmark(request).cells[0].folder)
    assert folders[0] == folders[2] != folders[1]


def test_files_of_model__finds_the_vectors_of_texts(tmp_path):
    config = recipe("clip_vitb16_sclip_voc21")
    config.model.text.folder = str(tmp_path)
    assert files_of_model(config) == []
    (path := tmp_path / f"{config.model.backbone.model}_voc21.safetensors").touch()
    assert files_of_model(config) == [path]
    config.model.text = {"file": str(tmp_path / "{model}_voc21.safetensors")}
    assert files_of_model(config) == [path]


def test_plan__trained_registers_have_weights_of_their_own(data, tmp_path):
    plain, registers = (tmp_path / name for name in ("plain.pth", "registers.pth"))
    for path in (plain, registers):
        path.write_bytes(path.name.encode())
    name = "dinov2_vits14"

    def weights(backbones, *options):
        suite = choose_suite("short", ["lost_voc07"], None)
        kinds, out = ("none", "trained"), tmp_path / "out"
        request = BenchmarkRequest(backbones, data, kinds, [0], suite, out, options)
        check_request(request)
        cells = plan_benchmark(request).cells
        assert [cell.row.repair for cell in cells] == ["none", "trained"]
        found = [cell.cfg.model.backbone for cell in cells]
        assert found[1].model == "vit_small_patch14_reg4_dinov2.lvd142m"
        return [(one.pretrained, one.get("checkpoint")) for one in found]

    hub, of_plain = (True, None), (False, str(plain))
    assert weights({name: plain}) == [of_plain, hub]
    both = {name: plain, f"{name}_reg4": registers}
    assert weights(both) == [of_plain, (False, str(registers))]
    assert weights({name: None, f"{name}_reg4": registers}) == [hub, (False, str(registers))]
    assert weights(both, "model.backbone.checkpoint=x.pth") == [(False, "x.pth")] * 2
    with pytest.raises(InputError, match=f"{name}_reg4 is {name} trained with registers"):
        weights({f"{name}_reg4": registers})


def test_plan__names_the_changes_of_a_protocol_and_of_no_other(request_of):
    options = ["*_lost_voc07:test_dataloader.batch_size=2", "*_ade20k*:randomness.seed=1"]
    request = dataclasses.replace(
        request_of(protocols=("lost_voc07", "linear_ade20k_200it")), cfg_options=options
    )
    changes = plan_benchmark(request).changes
    assert changes["lost_voc07"].endswith(f"; changed by {options[0]}")
    assert changes["linear_ade20k_200it"].endswith(f"; changed by {options[1]}")


def test_plan__a_repair_that_does_not_exist_for_a_backbone_is_named(request_of):
    plan = plan_benchmark(request_of(kinds=("none", "sinder")))
    assert [cell.row.repair for cell in plan.cells] == ["none"]
    assert [row.repair for row in plan.rows_left_out] == ["sinder"]
    assert plan.left_out[-1][0] == "tiny_lost_voc07, sinder"
    suite = choose_suite("short", None, None)
    lines = left_out_lines(plan, dataclasses.replace(request_of(), suite=suite))
    assert [line.partition(": ")[2].partition(":")[0] for line in lines] == [
        f"not in {request_of().data}",
        "no part of this --suite",
        "tiny_lost_voc07, sinder",
    ]
    assert max(map(len, lines[2:])) < 150
