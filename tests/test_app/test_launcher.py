"""Which process this is, how processes join and leave, and every way in which they cannot."""

import argparse
import os
import socket
import time

import pytest
import torch
from torch import distributed

from ttr_backbones.app.launcher import (
    Process,
    at_success,
    check_resume,
    is_first,
    join_processes,
    this_process,
)
from ttr_backbones.app.messages import note
from ttr_backbones.cli import main
from ttr_backbones.errors import InputError

LAUNCHERS = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "MASTER_ADDR", "MASTER_PORT")


def arguments(launcher, **others):
    return argparse.Namespace(launcher=launcher, local_rank=0, **others)


@pytest.fixture
def alone(monkeypatch):
    """No launcher's environment."""
    for name in (*LAUNCHERS, "TORCHELASTIC_RUN_ID"):
        monkeypatch.setenv(name, "")  # so that what a test leaves behind goes
        monkeypatch.delenv(name)


@pytest.fixture
def first_of_two(alone, monkeypatch):
    """torchrun's environment of the first process of two."""
    for name, value in {"RANK": "0", "WORLD_SIZE": "2", "LOCAL_RANK": "0"}.items():
        monkeypatch.setenv(name, value)


@pytest.fixture
def port():
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        return held.getsockname()[1]


def joined(launcher, variables, cfg):
    """Join as process of `launcher`; return what the processes say to each other, then leave."""
    rank, local = os.environ["RANK"], os.environ["LOCAL_RANK"]
    for name in LAUNCHERS:
        os.environ.pop(name, None)
    for name, value in variables.items():
        os.environ[name] = value.format(rank=rank, local=local)
    join_processes(arguments(launcher), cfg)
    join_processes(arguments(launcher), cfg)  # a command within a command
    note("told once")
    ranks = torch.zeros(2)
    ranks[distributed.get_rank()] = 1 + distributed.get_rank()
    distributed.all_reduce(ranks)
    at_success.close()
    assert not distributed.is_initialized()
    return ranks.tolist(), this_process()


SLURM = {"SLURM_PROCID": "{rank}", "SLURM_NTASKS": "2", "SLURM_LOCALID": "{local}"}
MPI = {f"OMPI_COMM_WORLD_{key}": value for key, value in {
    "RANK": "{rank}", "SIZE": "2", "LOCAL_RANK": "{local}"
}.items()}  # fmt: skip


@pytest.mark.parametrize(
    ("launcher", "variables"),
    [
        ("slurm", {**SLURM, "SLURM_NODELIST": "node[3-4]"}),
        ("mpi", {**MPI, "MASTER_ADDR": "127.0.0.1"}),
        (
            "pytorch",
            {"RANK": "{rank}", "WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1"},  # without LOCAL_RANK
        ),
    ],
)
def test_launchers__on_cpus(two_processes, tmp_path, port, launcher, variables):
    (tmp_path / "scontrol").write_text('#!/bin/sh\ntest "$3" = "node[3-4]" && echo 127.0.0.1\n')
    (tmp_path / "scontrol").chmod(0o755)
    variables = {"PATH": f"{tmp_path}:{os.environ['PATH']}", **variables}
    cfg = {"env_cfg": {"dist_cfg": {"backend": "nccl", "port": port, "timeout": 60}}}
    outcomes = two_processes(joined, launcher, variables, cfg, join=False)
    for rank, (value, _, err) in enumerate(outcomes):
        assert value[0] == [1, 2]
        assert value[1][:2] == (rank, 2)
        assert err.count("ttrb: note: told once") == (rank == 0)


def waited(cfg, ended):
    """Process 1 does not answer until process 0 has given up."""
    os.environ["MASTER_ADDR"] = "127.0.0.1"
    join_processes(arguments("pytorch"), cfg)
    if distributed.get_rank() == 0:
        with pytest.raises(RuntimeError, match="gloo"):
            distributed.all_reduce(torch.ones(1))
        ended.touch()
    while not ended.exists():
        time.sleep(0.05)


def test_a_process_that_hangs__is_waited_for_no_longer_than_told(two_processes, port, tmp_path):
    cfg = {"env_cfg": {"dist_cfg": {"timeout": 3, "port": port}}}
    two_processes(waited, cfg, tmp_path / "ended", join=False)


def test_alone__this_is_process_0_of_1(alone):
    assert this_process() == Process(0, 1, 0)
    assert is_first()
    join_processes(arguments("none"))
    assert not distributed.is_initialized()


@pytest.mark.parametrize("names", [{"RANK": "2", "WORLD_SIZE": "2"}, {"RANK": "first"}])
def test_an_environment_that_makes_no_sense(alone, monkeypatch, names):
    for name, value in names.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(InputError, match="expected 0 <= RANK < WORLD_SIZE, or neither"):
        this_process()


def test_torchrun_without_launcher__is_refused(first_of_two, monkeypatch):
    join_processes(arguments("none"))  # RANK may be somebody else's
    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "1")
    with pytest.raises(InputError, match=r"torchrun started 2 processes.*add --launcher pytorch"):
        join_processes(arguments("none"))


@pytest.mark.parametrize(
    ("launcher", "variable"),
    [("pytorch", "RANK"), ("slurm", "SLURM_PROCID"), ("mpi", "OMPI_COMM_WORLD_RANK")],
)
def test_no_launcher__is_told(alone, launcher, variable):
    with pytest.raises(InputError, match=f"expects the environment variable {variable}, which"):
        join_processes(arguments(launcher))


def resumed(checkpoints):
    cfg = {"resume": True, "load_from": checkpoints[distributed.get_rank()]}
    check_resume(cfg if cfg["load_from"] else {"load_from": "weights.pth"})


def disagreeing():
    with pytest.raises(InputError, match=r"from iter_8\.pth, process 1 from no checkpoint: put"):
        resumed(["iter_8.pth", None])


def test_checkpoints_to_resume__have_to_be_the_same(two_processes):
    two_processes(resumed, ["iter_8.pth", "iter_8.pth"])
    two_processes(resumed, [None, None])
    two_processes(disagreeing)
    check_resume({"resume": True, "load_from": "iter_8.pth"})  # one process


def test_no_address__is_told(first_of_two):
    with pytest.raises(InputError, match="MASTER_ADDR is not set: expected the host of process 0"):
        join_processes(arguments("pytorch", device="cpu"))


def test_others_that_do_not_come__are_told(first_of_two, monkeypatch, port):
    monkeypatch.setenv("MASTER_ADDR", "127.0.0.1")
    cfg = {"env_cfg": {"dist_cfg": {"port": port, "timeout": 0.1}}}
    with pytest.raises(InputError, match=f"could not join the others at .*MASTER_PORT={port}: "):
        join_processes(arguments("pytorch"), cfg)


def test_unknown_option__is_told(first_of_two):
    cfg = {"env_cfg": {"dist_cfg": {"time_out": 3}}}
    with pytest.raises(InputError, match=r"env_cfg.dist_cfg 'time_out'. Did you mean 'timeout'"):
        join_processes(arguments("pytorch"), cfg)


def test_device_of_one_number__is_refused(first_of_two):
    with pytest.raises(InputError, match=r"each process takes the GPU of its rank.*has cuda:1"):
        join_processes(arguments("pytorch", device="cuda:1"))


def test_more_processes_than_gpus__is_told(first_of_two, monkeypatch):
    monkeypatch.setenv("LOCAL_RANK", "1")
    monkeypatch.setattr("torch.cuda.device_count", lambda: 1)
    with pytest.raises(InputError, match=r"number 1 on this machine .* torch sees 1 GPUs here"):
        join_processes(arguments("pytorch", device="cuda"))


@pytest.mark.parametrize("command", ["train", "test", "sweep"])
def test_commands__join(alone, capsys, command, shared):
    config, data = "augreg_vitt16_lost_voc07", "VOCdevkit/VOC2007"
    if command == "train":
        config, data = "augreg_vitt16_linear_ade20k_200it", "ADEChallengeData2016"
    data_root = str(shared / "data" / data)
    assert main([command, config, "--data-root", data_root, "--launcher", "pytorch"]) == 2
    assert "expects the environment variable RANK" in capsys.readouterr().err
