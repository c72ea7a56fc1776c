"""The table of published numbers: whole, of recipes that exist, and the papers' own."""

import pytest

from ttr_backbones.recipes import axis_files, protocol_files, published, published_numbers

ROWS = published_numbers()
# RMSE of lin.1, lin.4 and DPT in Table 11 of the DINOv2 paper.
TABLE_11 = {
    ("vits14", "nyu"): ("0.449", "0.417", "0.356"),
    ("vitb14", "nyu"): ("0.399", "0.362", "0.317"),
    ("vitl14", "nyu"): ("0.384", "0.333", "0.293"),
    ("vitg14", "nyu"): ("0.344", "0.298", "0.279"),
    ("vits14", "kitti"): ("3.10", "2.86", "2.34"),
    ("vitb14", "kitti"): ("2.90", "2.59", "2.23"),
    ("vitl14", "kitti"): ("2.78", "2.50", "2.14"),
    ("vitg14", "kitti"): ("2.62", "2.35", "2.11"),
}


def test_rows_are_of_files_that_exist_and_hold_numbers():
    assert len(ROWS) == len(set(ROWS)) == 243
    for row in ROWS:
        assert row.backbone in axis_files("backbones")
        assert row.repair in ("", *axis_files("repairs"))
        assert row.protocol in protocol_files()
        assert row.metric in {
            *("mIoU", "RMSE", "CorLoc", "abs_rel", "d1", "top-1", "kNN top-1", "foreground mIoU"),
            *("zero-shot top-1", "attack success"),
        }
        assert float(row.value) > 0
        assert not row.std or 0 < float(row.std) < float(row.value)
        assert row.source


def test_numbers_of_the_dinov2_paper():
    found = {
        (row.backbone, row.protocol): row.value
        for row in ROWS
        if row.source == "DINOv2 paper, Table 11"
    }
    assert found == {
        (f"dinov2_{size}", f"{head}_{data}_dinov2"): number
        for (size, data), numbers in TABLE_11.items()
        for head, number in zip(("lin1", "lin4", "dpt"), numbers, strict=True)
    }


def test_numbers_of_the_paper_on_test_time_registers():
    found = {
        "_".join(filter(None, (row.backbone, row.repair, row.protocol))): f"{row.value} {row.std}"
        for row in ROWS
        if row.source == "TTR paper, Table 13"
    }
    assert found == {
        "dinov2_vitl14_linear_ade20k": "48.27 0.15",
        "dinov2_vitl14_reg4_linear_ade20k": "49.07 0.12",
        "dinov2_vitl14_ttr_linear_ade20k": "49.13 0.11",
        "dinov2_vitl14_lin1_nyu_dvt": "0.3876 0.0014",
        "dinov2_vitl14_reg4_lin1_nyu_dvt": "0.3823 0.0011",
        "dinov2_vitl14_ttr_lin1_nyu_dvt": "0.3774 0.0013",
        "openclip_vitb16_linear_ade20k": "40.14 0.11",
        "openclip_vitb16_ttr_linear_ade20k": "40.29 0.09",
        "openclip_vitb16_lin1_nyu_dvt": "0.6025 0.0017",
        "openclip_vitb16_ttr_lin1_nyu_dvt": "0.5956 0.0016",
    }


def test_a_damaged_table_is_named(tmp_path, monkeypatch):
    (tmp_path / "published.csv").write_text("backbone,repair\n")
    monkeypatch.setattr(published, "configs_dir", lambda: tmp_path)
    published_numbers.cache_clear()
    with pytest.raises(published.InputError, match=r"published\.csv: expected the columns backb"):
        published_numbers()
    published_numbers.cache_clear()


def test_numbers_of_zero_shot_and_of_the_typographic_attack():
    found = {
        (row.backbone, row.repair, row.protocol): row.value
        for row in ROWS
        if row.metric in {"zero-shot top-1", "attack success"}
    }
    assert found == {
        ("openclip_vitl14", "", "zeroshot_imagenet"): "76.4",
        ("openclip_vitl14", "ttr", "zeroshot_imagenet"): "76.4",
        ("openclip_vitb16", "", "zeroshot_imagenet"): "71.3",
        ("openclip_vitb16", "ttr", "zeroshot_imagenet"): "71.3",
        ("openclip_vitb16", "bias", "zeroshot_imagenet"): "71.3",
        ("clip_vitb16", "", "typographic_rta100"): "50.5",
        ("clip_vitb16", "ttr", "typographic_rta100"): "7.5",
    }
