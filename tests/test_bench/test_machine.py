"""The machine is described, and its matrix products are timed right."""

import torch

from ttr_backbones.bench import machine as machine_module
from ttr_backbones.bench.machine import matrix_rate, this_machine

CPU = torch.device("cpu")


def test_matrix_rate__is_that_of_the_fastest_side(monkeypatch):
    """Products of 512, 1024 and 2048 rows in 1, 2 and 64 ms: the middle one is the fastest."""
    sides = iter([0.001] * 6 + [0.002] * 6 + [0.064] * 6)
    monkeypatch.setattr(machine_module, "seconds_of", lambda run, device, times=1: next(sides))
    assert matrix_rate(torch.float32, CPU) == 2 * 1024**3 / 0.002


def test_matrix_rate__stops_where_products_take_long(monkeypatch):
    monkeypatch.setattr(machine_module, "seconds_of", lambda run, device, times=1: 1.0)
    assert matrix_rate(torch.bfloat16, CPU) == 2 * 512**3


def test_this_machine__tells_what_numbers_depend_on(monkeypatch):
    monkeypatch.setattr(machine_module, "matrix_rate", lambda dtype, device: 123e9)
    machine = this_machine(CPU)
    assert machine.gpu is None
    assert machine.processor
    told = str(machine)
    assert f"{torch.get_num_threads()} threads; torch {torch.__version__}" in told
    assert told.endswith("matrix products: 123 GFLOP/s in fp32, 123 GFLOP/s in bf16")
    assert "matrix products" not in str(this_machine(CPU, matrix_products=False))
