"""Which of the papers' numbers is shown beside a measured one."""

import pytest

from ttr_backbones.compare.experiments import find_experiments
from ttr_backbones.compare.published import Published, papers_number, published_for
from ttr_backbones.recipes import parse_name


def number(name, kind="none", metric="mIoU"):
    (experiment,) = find_experiments([name])
    return experiment.published(kind, metric)


@pytest.mark.parametrize(
    ("name", "kind", "metric", "shown", "value", "std", "source"),
    [
        # The first of three is the DINOv2 paper's; the paper on test-time registers goes before it.
        (
            "dinov2_vitl14_linear_ade20k",
            "none",
            "mIoU",
            "48.27 ± 0.15",
            48.27,
            0.15,
            "TTR paper, T",
        ),
        ("dinov2_vitl14_linear_ade20k", "test_time", "mIoU", "49.13 ± 0.11", 49.13, 0.11, "TTR pa"),
        ("dinov2_vitl14_linear_ade20k", "trained", "mIoU", "49.07 ± 0.12", 49.07, 0.12, "TTR pap"),
        ("dinov2_vitl14_lin1_nyu_dvt", "none", "RMSE", "0.3876 ± 0.0014", 0.3876, 0.0014, "TTR "),
        (
            "dinov2_vitl14_lost_voc07",
            "test_time",
            "CorLoc",
            "53.8",
            53.8,
            None,
            "TTR paper, Table 5",
        ),
        ("dinov2_vitl14_ms_ade20k", "none", "mIoU", "53.1", 53.1, None, "DINOv2 paper, Table 10"),
        ("dino_vits16_lost_voc07", "none", "CorLoc", "61.9", 61.9, None, "LOST paper"),
        # Its own source has this number only; another has those of the trained model too.
        (
            "dinov2_vits14_linear_ade20k",
            "none",
            "mIoU",
            "44.05",
            44.05,
            None,
            "Denoising-ViT READM",
        ),
    ],
)
def test_papers_number(name, kind, metric, shown, value, std, source):
    found = number(name, kind, metric)
    assert (found.shown, found.value, found.std) == (shown, value, std)
    assert found.source.startswith(source)


def test_papers_number__none_published():
    kinds = ("none", "test_time", "trained")
    assert [number("augreg_vitt16_linear_ade20k_200it", kind) for kind in kinds] == [None] * 3
    assert number("dinov2_vitl14_linear_ade20k", metric="RMSE") is None


def test_papers_number__prefers_a_source_that_has_all_kinds():
    first, second = Published("1", "A"), Published("2", "B")
    assert papers_number({"none": [first, second]}, "none") is first
    assert papers_number({"none": [first, second], "trained": [Published("3", "B")]}, "none") is (
        second
    )


def test_published_for__the_metric_asked_for_and_how_it_was_measured():
    recipe = parse_name("dinov2_vitb14_lin1_nyu_dvt")
    assert [number.shown for number in published_for(recipe, "RMSE")] == ["0.3965", "0.4566"]
    assert [number.value for number in published_for(recipe, "abs_rel")] == [0.1197, 0.1391]
    sources = [number.source for number in published_for(recipe, "RMSE")]
    assert sources == ["Denoising-ViT README", "PH-Reg paper, Table 2 (30,000 iterations)"]
