import pytest
from mmengine.config import Config

from ttr_backbones.app.run_numbers import check_run_numbers
from ttr_backbones.errors import InputError


def config(**changes):
    loader = {"batch_size": 2, "num_workers": 4, "persistent_workers": True}
    cfg = Config(
        {
            "train_dataloader": loader,
            "test_cfg": {"bank": dict(loader)},
            "train_cfg": {"max_iters": 5, "val_interval": 5},
            "optim_wrapper": {"optimizer": {"lr": 1e-3}},
        }
    )
    cfg.merge_from_dict({key.replace("__", "."): value for key, value in changes.items()})
    return cfg


def test_run_numbers__with_which_nothing_runs_are_named():
    check_run_numbers(config())
    check_run_numbers(Config({"train_dataloader": None}))
    for key, value in (
        ("train_dataloader.batch_size", 0),
        ("test_cfg.bank.batch_size", 1.5),
        ("train_dataloader.num_workers", -1),
        ("train_cfg.max_iters", 0),
        ("optim_wrapper.optimizer.lr", float("nan")),
        ("optim_wrapper.optimizer.lr", -1.0),
    ):
        with pytest.raises(InputError, match=f"^{key}={value}: expected a"):
            check_run_numbers(config(**{key: value}))


def test_run_numbers__without_workers_none_are_kept():
    cfg = config(**{"train_dataloader.num_workers": 0})
    check_run_numbers(cfg)
    assert not cfg.train_dataloader.persistent_workers
    assert cfg.test_cfg.bank.persistent_workers
