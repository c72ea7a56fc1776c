"""Graphs and reads are counted; graphs and breaks of every form with `bench_forward`."""

import pytest
import torch

from ttr_backbones.bench import compile_counts as counts_module
from ttr_backbones.bench.compile_counts import (
    compile_counts,
    compile_failure,
    host_reads,
    possible_variants,
)
from ttr_backbones.bench.contestants import AUTHORS, as_variant
from ttr_backbones.bench.variants import VARIANTS
from ttr_backbones.errors import InputError

CPU = torch.device("cpu")


def test_compile_counts__sees_recompiles():
    """A list that grows: every call is a graph of its own."""
    seen = []

    @torch.compile(dynamic=False, backend="eager")
    def grown(x, count):
        return x * count

    def run(x):
        seen.append(0)
        return grown(x, torch.ones(len(seen)).shape[0])

    counts = compile_counts(run, torch.ones(2), torch.ones(3), turns=1)
    assert (counts.graphs, counts.recompiled) == (2, 2)


def test_host_reads__only_the_authors_form_waits(models, layers, images):
    for name, model in models.items():
        run = as_variant(model, VARIANTS["eager"])
        run(images)
        # The largest and the smallest value, in each edited block, of each image.
        expected = 2 * len(layers) * len(images) if name == AUTHORS else 0
        assert host_reads(lambda run=run: run(images), CPU) == expected


@pytest.mark.parametrize("mode", [torch.no_grad, torch.inference_mode])
def test_host_reads__counts_what_would_wait_on_a_gpu(mode):
    x = torch.ones(3)

    def run():
        if x.sum() > 0:  # a bool of a tensor
            x.max().item()
        x.tolist()  # on the CPU it reads memory, without an operation

    with mode():
        assert host_reads(run, CPU) == 2


@pytest.mark.gpu
def test_host_reads__on_a_gpu(models, layers, images):
    images = images.cuda()
    for name, model in models.items():
        run = as_variant(model.cuda(), VARIANTS["eager"])
        run(images)
        expected = 2 * len(layers) * len(images) if name == AUTHORS else 0
        assert host_reads(lambda run=run: run(images), images.device) == expected


def test_why_not_compiled__gives_the_reason(monkeypatch):
    def broken(function):
        raise RuntimeError("No working C++ compiler found\nmore of it")

    monkeypatch.setattr(torch, "compile", broken)
    assert compile_failure(CPU) == "No working C++ compiler found"
    monkeypatch.setattr(torch, "compile", lambda function: function)
    assert compile_failure(CPU) is None


def test_possible_variants__says_what_cannot_be_compiled(monkeypatch):
    eager, compiled = VARIANTS["eager"], VARIANTS["compiled"]
    monkeypatch.setattr(counts_module, "compile_failure", lambda device: None)
    assert possible_variants("train", [compiled, eager], CPU) == ([compiled, eager], [])
    monkeypatch.setattr(counts_module, "compile_failure", lambda device: "no compiler")
    assert possible_variants("train", [eager], CPU) == ([eager], [])
    told = "train: nothing compiled, torch.compile does not work here: no compiler"
    assert possible_variants("train", [compiled, eager], CPU) == ([eager], [told])
    with pytest.raises(InputError, match=f"{told}\\. Measure other variants"):
        possible_variants("train", [compiled], CPU)
