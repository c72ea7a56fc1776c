"""`ttrb bench data`: a real pipeline on drawn images, in this process and in another."""

import pytest

import ttr_backbones.app.runner  # noqa: F401 -- registers everything
from ttr_backbones.app.config import set_data_root
from ttr_backbones.bench.data import BACKBONE, bench_data
from ttr_backbones.bench.drawn_data import draw_ade20k
from ttr_backbones.errors import InputError
from ttr_backbones.recipes import recipe


@pytest.fixture(scope="module")
def cfg(tmp_path_factory):
    cfg = recipe("augreg_vitt16_ttr_linear_ade20k_200it")
    set_data_root(cfg, str(draw_ade20k(tmp_path_factory.mktemp("ade"), count=3)))
    return cfg


def test_bench_data__times_loading_its_transforms_and_the_backbone(cfg):
    measured = bench_data(cfg, source="drawn", workers=(0, 1), rounds=1)
    assert [row.contestant for row in measured.rows] == ["0 workers", "1 worker", BACKBONE]
    assert all(row.images_per_second > 0 for row in measured.rows)
    assert {row.batch_size for row in measured.rows} == {4}, "the config's"
    shares = measured.facts["share_of_transform"]
    pipeline = cfg.train_dataloader.dataset.pipeline
    assert list(shares) == [transform.type for transform in pipeline]
    assert sum(shares.values()) == pytest.approx(1)
    assert shares["LoadImage"] > shares["PackSegInputs"] / 100
    assert measured.setting["images"] == "3 drawn"
    assert "keeps up with the backbone" in measured.notes[1] or "waits" in measured.notes[1]


def test_bench_data__changes_nothing_in_the_config(cfg):
    assert cfg.train_dataloader.num_workers == 2
    assert cfg.model.backbone.pretrained is True
    assert cfg.model.backbone.repair == {"type": "test_time", "neurons": "auto"}


@pytest.mark.parametrize("workers", [[], [0, -1]])
def test_bench_data__needs_numbers_of_workers(cfg, workers):
    with pytest.raises(InputError, match="expected numbers of processes"):
        bench_data(cfg, workers=workers)


def test_bench_data__needs_a_config_that_trains():
    cfg = recipe("augreg_vitt16_lost_voc07")
    with pytest.raises(InputError, match=r"augreg_vitt16_lost_voc07.py: expected a config that tr"):
        bench_data(cfg)
