"""What a frozen backbone does not do: keep books, resample twice, wait for the host, recompile."""

import copy

import pytest
import torch
from timm.models.vision_transformer import VisionTransformer
from torch._dynamo.testing import CompileCounterWithBackend
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from ttr_backbones.backbones import TimmViT, timm_vit
from ttr_backbones.registers import remove_test_time_registers
from ttr_backbones.vits import pos_embed as positions
from ttr_backbones.vits.pos_embed import position_table
from ttr_backbones.vits.taps import Tap

SMALL = {"embed_dim": 32, "num_heads": 2, "init_values": 1.0}
DINOV2, REG4 = "vit_small_patch14_dinov2.lvd142m", "vit_small_patch14_reg4_dinov2.lvd142m"
DINOV3 = "vit_small_patch16_dinov3.lvd1689m"
CLIP = "vit_base_patch16_clip_quickgelu_224.openai"
TINY = "vit_tiny_patch16_224.augreg_in21k_ft_in1k"
REPAIR = {"type": "test_time", "neurons": {1: [3, 5], 2: [7]}}


def make(model=DINOV2, depth=4, **options) -> TimmViT:
    torch.manual_seed(0)
    backbone = TimmViT(model, model_kwargs={**SMALL, "depth": depth}, **options)
    for name, parameter in backbone.vit.named_parameters():
        if name in ("pos_embed", "cls_token", "reg_token"):
            parameter.data.normal_(std=0.5)
    return backbone


# Inference mode


def test_maps_are_ordinary_tensors_that_a_head_can_learn_from():
    backbone, seen = make(), []
    backbone.vit.blocks[0].register_forward_hook(lambda *args: seen.append(args[2].is_inference()))
    head = torch.nn.Conv2d(32, 2, 1)
    head(backbone(torch.randn(1, 3, 28, 42))[0]).sum().backward()
    assert seen == [True]
    assert head.weight.grad.abs().sum() > 0


def test_a_map_can_be_changed_in_place_and_frees_the_tokens():
    given = make(out_indices=(1,))(torch.randn(1, 3, 28, 42))[0]
    given.mul_(2)
    assert given.untyped_storage().nbytes() == given.numel() * 4


# Position tables


def counted(monkeypatch):
    calls = []

    def resample(vit, grid, how):
        calls.append(grid)
        return position_table(vit, grid, how)

    monkeypatch.setattr(positions, "position_table", resample)
    return calls


@pytest.mark.parametrize("how", ["timm", "dinov2"])
@torch.no_grad()
def test_positions_are_resampled_once_per_size(monkeypatch, how):
    backbone, calls = make(pos_embed=how, repair=REPAIR), counted(monkeypatch)
    images = [torch.randn(2, 3, 28, 42), torch.randn(1, 3, 56, 42)]
    first = [backbone(x)[0] for x in images]
    again = [backbone(x)[0] for x in images]
    assert calls == [(2, 3), (4, 3)]
    assert all(torch.equal(a, b) for a, b in zip(first, again, strict=True))


@torch.no_grad()
def test_a_changed_embedding_is_resampled_anew():
    backbone, x = make(), torch.randn(1, 3, 28, 42)
    before = backbone(x)[0]
    with torch.no_grad():
        backbone.vit.pos_embed.mul_(2)  # a constant would go in the norms
    changed = backbone(x)[0]
    assert not torch.allclose(before, changed)
    backbone.vit.pos_embed.data = backbone.vit.pos_embed.data / 2
    torch.testing.assert_close(backbone(x)[0], before)


@torch.no_grad()
def test_registers_taken_away_leave_no_row_behind():
    backbone, x = make(repair=REPAIR), torch.randn(1, 3, 28, 42)
    backbone(x)
    remove_test_time_registers(backbone.vit)
    assert torch.equal(backbone(x)[0], make()(x)[0])


def test_a_trained_embedding_is_resampled_in_every_step(monkeypatch):
    backbone, calls = make(TINY, frozen=False), counted(monkeypatch)
    for _ in range(2):
        backbone(torch.randn(1, 3, 32, 48))[0].sum().backward()
    assert len(calls) == 2
    assert backbone.vit.pos_embed.grad.abs().sum() > 0


@torch.no_grad()
def test_only_the_last_sizes_are_kept():
    backbone = make()
    for width in range(1, positions._KEPT + 4):
        backbone(torch.randn(1, 3, 14, 14 * width))
    assert len(backbone._tables._tables) == positions._KEPT


# Precision


@pytest.mark.parametrize("model", [DINOV2, REG4, CLIP, DINOV3])
@torch.no_grad()
def test_bf16_is_autocast_with_weights_cast_once(model):
    options = {"repair": REPAIR, "out_indices": (1, -1), "pos_embed": "timm"}
    exact, half = make(model, **options), make(model, precision="bf16", **options)
    x = torch.randn(2, 3, 64, 96)
    with torch.autocast("cpu", torch.bfloat16):
        expected = exact(x)
    for given, autocast, full in zip(half(x), expected, exact(x), strict=True):
        assert given.dtype == torch.float32
        assert torch.equal(given, autocast.float())
        assert not torch.equal(given, full)
        torch.testing.assert_close(given, full, rtol=0.1, atol=0.1)
    assert half.vit.blocks[0].attn.qkv.weight.dtype == torch.bfloat16
    kept = [half.vit.norm.weight, *half.family.position_tensors(half.vit)]
    assert {tensor.dtype for tensor in kept} == {torch.float32}


@torch.no_grad()
def test_bf16_keeps_the_real_vit_clean(tiny_weights, photos):
    options = {"checkpoint": tiny_weights, "repair": {"type": "test_time", "neurons": "auto"}}
    exact, half = TimmViT(TINY, **options), TimmViT(TINY, precision="bf16", **options)
    images = photos(224)[:3]
    cosine = torch.cosine_similarity(exact(images)[0], half(images)[0], dim=1)
    assert cosine.mean() > 0.999


@torch.no_grad()
def test_fp32_stays_fp32_under_the_autocast_of_others():
    backbone, x = make(precision="fp32"), torch.randn(1, 3, 28, 42)
    expected = make()(x)[0]
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(backbone(x)[0], expected)
        assert not torch.equal(make()(x)[0], expected), "auto leaves a CPU to its surroundings"


def test_auto_is_bf16_on_gpus_that_have_it(monkeypatch):
    from ttr_backbones.backbones import precision

    for capability, expected in (((8, 0), True), ((7, 5), False)):
        precision._has_bf16.cache_clear()
        monkeypatch.setattr("torch.cuda.get_device_capability", lambda _, given=capability: given)
        assert precision.wants_bf16("auto", torch.device("cuda")) is expected
    precision._has_bf16.cache_clear()
    assert not precision.wants_bf16("auto", torch.device("cpu"))
    assert precision.wants_bf16("bf16", torch.device("cpu"))
    with pytest.raises(ValueError, match=r"unknown precision 'bf61'\. Did you mean 'bf16'"):
        make(precision="bf61")


# Host and device


class StaysOnDevice(TorchDispatchMode):
    """Finds what would make a GPU and its host wait for each other, on the meta device.

    A meta tensor has no values: asking for one (`.item()`, a branch, `nonzero`) raises by itself.
    What is left is a copy between host and device: an operation with a CPU tensor in it.
    """

    def __init__(self) -> None:
        super().__init__()
        self.crossing: list[str] = []

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        result = func(*args, **(kwargs or {}))
        tensors = [t for t in tree_leaves((args, kwargs, result)) if isinstance(t, torch.Tensor)]
        if any(tensor.device.type != "meta" for tensor in tensors):
            self.crossing.append(str(func))
        return result


def crossings(backbone, size):
    backbone.to("meta")
    backbone(torch.empty(2, 3, *size, device="meta"))  # timm makes the table of RoPE on the CPU
    with StaysOnDevice() as watch:
        maps = backbone(torch.empty(2, 3, *size, device="meta"))
    assert all(one.device.type == "meta" for one in maps)
    return watch.crossing


@pytest.mark.parametrize("model", [DINOV2, REG4, CLIP, DINOV3])
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"repair": REPAIR},
        {"repair": {**REPAIR, "num": 3, "peak": "layer", "keep_cls": True}},
        {"repair": {**REPAIR, "fill": "only_outliers"}, "cls_token": "concat"},
        {"repair": {**REPAIR, "num": 1, "positions": [2]}, "facet": "key"},
        {"repair": REPAIR, "crop": True},
    ],
)
def test_forward_never_makes_host_and_device_wait(model, options):
    assert crossings(make(model, depth=3, pos_embed="timm", **options), (50, 70)) == []


def test_the_watch_sees_a_copy_and_a_read():
    class Copies(VisionTransformer):
        def patch_drop(self, x):
            return x + torch.tensor([1.0]).to(x.device)

    backbone = make()
    backbone.vit.__class__ = Copies
    del backbone.vit._modules["patch_drop"]
    assert "aten.to.dtype_layout" in crossings(backbone, (50, 70))
    with pytest.raises(RuntimeError, match="meta"):
        torch.ones(1, device="meta").item()


@pytest.mark.gpu
@torch.no_grad()
def test_forward_never_synchronises_a_gpu():
    backbone = make(repair=REPAIR, crop=True).cuda()
    x = torch.randn(2, 3, 50, 70, device="cuda")
    backbone(x)
    torch.cuda.set_sync_debug_mode("error")
    try:
        backbone(x)
    finally:
        torch.cuda.set_sync_debug_mode("default")


# Compilation


@pytest.fixture
def counter(monkeypatch):
    """Let `compiled=True` compile into a counter of graphs that run eagerly."""
    torch._dynamo.reset()
    counter = CompileCounterWithBackend("eager")
    function = torch.compile(timm_vit.tapped_maps, backend=counter, fullgraph=True)
    monkeypatch.setattr(timm_vit, "_compiled", lambda _: function)
    yield counter
    torch._dynamo.reset()


@pytest.mark.parametrize(
    ("model", "repair"),
    [
        (DINOV2, REPAIR),
        pytest.param(DINOV2, None, marks=pytest.mark.nightly),
        pytest.param(DINOV3, REPAIR, marks=pytest.mark.nightly),
    ],
)
@torch.no_grad()
def test_compiles_in_one_graph_and_other_sizes_never_recompile(counter, model, repair):
    backbone = make(model, depth=3, repair=repair, compiled=True)
    eager = make(model, depth=3, repair=repair)
    native = (518, 518)
    sizes = [(50, 70), (84, 56), (28, 98), (120, 60), native]
    for size in sizes[:2]:  # one graph for the first size, one for all others
        backbone(torch.randn(2, 3, *size))
    assert counter.frame_count == 2
    for size in sizes * 2:
        x = torch.randn(2, 3, *size)
        torch.testing.assert_close(backbone(x)[0], eager(x)[0])
    assert counter.frame_count == 2, "registers cost no recompilation"


@torch.no_grad()
def test_hooks_on_a_compiled_backbone_see_every_pass(counter):
    backbone, seen = make(depth=1, compiled=True), []
    backbone(torch.randn(1, 3, 28, 42))
    handle = backbone.vit.patch_embed.register_forward_hook(lambda *_: seen.append(1))
    backbone(torch.randn(1, 3, 28, 42))
    handle.remove()
    backbone(torch.randn(1, 3, 28, 42))
    assert (seen, counter.frame_count) == ([1], 1)


@torch.no_grad()
def test_a_copy_of_a_compiled_backbone_runs_its_own_weights(counter):
    backbone, x = make(depth=1, compiled=True), torch.randn(1, 3, 28, 42)
    before = backbone(x)[0]
    other = copy.deepcopy(backbone)
    other.vit.blocks[0].mlp.fc2.weight.data.mul_(3)
    assert not torch.allclose(other(x)[0], before)
    assert torch.equal(backbone(x)[0], before)


# Taps


@torch.no_grad()
def test_taps_of_blocks_normed_and_not_come_from_one_pass():
    backbone, passes = make(repair=REPAIR), []
    backbone.vit.blocks[0].register_forward_hook(lambda *_: passes.append(0))
    backbone.vit.blocks[3].register_forward_hook(lambda *_: passes.append(3))
    x = torch.randn(2, 3, 28, 42)
    taps = [Tap(2, norm=True), Tap(1), Tap(2), Tap(1, "key"), Tap(1)]
    maps = backbone.tapped(x, taps)
    assert passes == [0], "one pass, and not to the last block"
    assert list(maps) == list(dict.fromkeys(taps))
    for tap, given in maps.items():
        alone = make(repair=REPAIR, out_indices=(tap.block,), facet=tap.facet, final_norm=tap.norm)
        assert torch.equal(given, alone(x)[0])
