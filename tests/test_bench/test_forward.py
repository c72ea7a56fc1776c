"""`ttrb bench forward` on a small ViT: every row is there; none is asserted to be fast."""

import pytest
import torch

from ttr_backbones.bench import compile_counts, forward
from ttr_backbones.bench.benched_vit import BenchedVit
from ttr_backbones.bench.contestants import AUTHORS, BARE, PLAIN, TOKEN, repaired
from ttr_backbones.bench.duration import Duration
from ttr_backbones.bench.forward import bench_forward
from ttr_backbones.bench.variants import VARIANTS
from ttr_backbones.errors import InputError
from ttr_backbones.registers import RegisterNeurons
from ttr_backbones.repairs import REPAIRS

BIAS = repaired("bias")

NAMES = [PLAIN, BARE, TOKEN, BIAS, AUTHORS]


@pytest.fixture(autouse=True)
def two_repairs(monkeypatch):
    """Leave other repairs out: they are timed in the same way, and each takes seconds to trace."""
    for kind in set(REPAIRS) - {"test_time", "bias"}:
        monkeypatch.delitem(REPAIRS, kind)


@pytest.fixture
def bench(benched):
    def run(*variants, **kwargs):
        chosen = [VARIANTS[name] for name in variants]
        return bench_forward(benched, variants=chosen, rounds=2, **kwargs)

    return run


def test_bench_forward__a_row_for_every_contestant(bench, layers):
    measured = bench("eager", "bf16", "channels-last", batch_sizes=(1, 2))
    kinds = [(row.batch_size, row.variant, row.contestant) for row in measured.rows]
    assert kinds == [
        (batch, variant, name)
        for batch in (1, 2)
        for variant in ("eager", "bf16", "channels-last")
        for name in NAMES
    ]
    for row in measured.rows:
        assert row.against == PLAIN
        assert row.ratio.low <= row.ratio.median <= row.ratio.high
        assert row.goal == (1.05 if row.contestant in {TOKEN, BIAS} else None), "that of a CPU"
        assert row.tokens_per_second == pytest.approx(16 * row.images_per_second)
        assert row.flops_per_second > 0
        assert row.number == ("bf16" if row.variant == "bf16" else "fp32")
    assert {row.ratio.median for row in measured.rows if row.contestant == PLAIN} == {1.0}
    assert measured.facts["difference"] < 1e-6
    assert measured.facts["host_reads"] == {
        **dict.fromkeys(NAMES, 0),
        AUTHORS: 2 * len(layers),
    }
    assert "compile_counts" not in measured.facts
    assert measured.setting["register_neurons"] == layers
    assert measured.setting["size"] == 64


def test_bench_forward__leaves_out_what_would_take_too_long(bench, monkeypatch):
    said = []
    slow = Duration({VARIANTS["eager"]: 0.001, VARIANTS["bf16"]: 60.0}, [1.0] * 5, [1], 2)
    monkeypatch.setattr(Duration, "measure", lambda *_: slow)
    measured = bench("eager", "bf16", batch_sizes=(1,), limit=90, announce=said.append)
    assert {row.variant for row in measured.rows} == {"eager"}
    assert measured.notes[0].startswith("forward: without bf16, which would take about 30 min")
    assert said == ["forward: about 1 min for 5 contestants"]


def test_bench_forward__counts_what_a_register_adds(bench):
    """One more token: the operations of N + 1 tokens, memory of one more token."""
    rows = {row.contestant: row for row in bench("eager", batch_sizes=(1,)).rows}
    flops = {name: row.flops_per_second / row.images_per_second for name, row in rows.items()}
    n, c, depth, embed = 17, 64, 2, 16 * 3 * 256 * 64
    of = {
        tokens: 2 * (embed + depth * (12 * tokens * c * c + 2 * tokens * tokens * c))
        for tokens in (n, n + 1)
    }
    assert flops[PLAIN] == pytest.approx(of[n])
    assert flops[BARE] == pytest.approx(of[n])
    assert flops[TOKEN] == pytest.approx(of[n + 1])
    assert flops[AUTHORS] == pytest.approx(of[n + 1])
    assert flops[BIAS] == pytest.approx(of[n] + 2 * depth * 2 * n * c), "one more key and value"
    assert rows[TOKEN].peak_bytes > rows[BARE].peak_bytes


@pytest.mark.nightly
def test_bench_forward__compiled(small, layers, monkeypatch):
    """Traced, one block, and not translated to kernels, which would take a minute."""
    monkeypatch.setattr(compile_counts, "compile_failure", lambda device: None)
    layers = {0: layers[0]}
    benched = BenchedVit(
        "vit_tiny_patch16_224",
        neurons=RegisterNeurons("", layers),
        model_kwargs=small | {"depth": 1},
    )
    with torch.compiler.set_stance("default", force_backend="eager"):
        measured = bench_forward(
            benched, variants=[VARIANTS["compiled"]], rounds=2, batch_sizes=(2,), other_size=96
        )
    assert [row.contestant for row in measured.rows] == [PLAIN, BARE, TOKEN, BIAS]
    assert all(row.peak_bytes is None and row.flops_per_second for row in measured.rows)
    counts = measured.facts["compile_counts"]
    for name in (PLAIN, BARE, TOKEN, BIAS):
        assert counts[name] == {"graphs": 2, "recompiled": 0, "breaks": 0}, "a graph for each size"
    assert counts[AUTHORS]["breaks"] >= len(layers)
    assert counts[AUTHORS]["graphs"] > 2
    assert any("64 and 96 px in turn" in note for note in measured.notes)
    assert any("compiling, in the first run" in note for note in measured.notes)


@pytest.mark.parametrize("sizes", [{"size": 65}, {"size": 64, "other_size": 70}])
def test_bench_forward__sizes_are_multiples_of_the_patch(bench, sizes):
    with pytest.raises(InputError, match=r"size \d+: expected a multiple of .*'s patch, 16 px"):
        bench("eager", **sizes)


def test_goal__depends_on_device_variant_and_batch():
    cuda, cpu = torch.device("cuda"), torch.device("cpu")
    best = VARIANTS["compiled-bf16"]
    goals = [forward._goal(TOKEN, best, batch, cuda) for batch in (1, 4, 8, 32)]
    assert goals == [1.05, 1.05, 1.02, 1.02]
    assert forward._goal(TOKEN, VARIANTS["bf16"], 8, cuda) is None
    assert forward._goal(TOKEN, VARIANTS["bf16"], 8, cpu) == 1.05
    assert forward._goal(AUTHORS, best, 8, cuda) is None
