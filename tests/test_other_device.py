"""On another device than the CPU nothing is mixed, the results are the CPU's, and nobody waits.

The other device needs no GPU. What torch refuses on a GPU is refused: an operation on tensors of
both devices, and numpy's look at one that is not on the CPU. The values are real ones. It goes by
the name of torch's meta device, the only other one that every machine has.
"""

import contextlib

import pytest
import torch
from mmengine.registry import init_default_scope
from mmengine.structures import PixelData
from mmseg.registry import MODELS
from mmseg.structures import SegDataSample
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode, return_and_correct_aliasing
from torch.utils._pytree import tree_flatten, tree_map_only

import ttr_backbones.heads
import ttr_backbones.losses
import ttr_backbones.segmentors  # noqa: F401
from ttr_backbones.backbones import TimmViT
from ttr_backbones.losses.linear_resize import resize_matrix
from ttr_backbones.neuron_search.verification import verify_neurons
from ttr_backbones.object_discovery import lost_batch
from ttr_backbones.object_discovery.tokencut import tokencut_batch
from ttr_backbones.registers import (
    RegisterNeurons,
    add_test_time_registers,
    find_register_neurons,
    patches_in_boxes,
    patches_receive,
    remove_test_time_registers,
)
from ttr_backbones.repairs.bake import bake_registers
from ttr_backbones.repairs.bias import add_bias_registers

OTHER = torch.device("meta")
aten = torch.ops.aten
_CROSSING = {aten._to_copy, aten.copy_, aten._copy_from}
_TAKES_CPU_INDICES = {aten.index, aten.index_put_, aten._index_put_impl_, aten.index_put}


class There(torch.Tensor):
    """A tensor that says it is on the other device; its values are in `here`."""

    @staticmethod
    def __new__(cls, here):
        return torch.Tensor._make_wrapper_subclass(
            cls,
            here.size(),
            strides=here.stride(),
            storage_offset=here.storage_offset(),
            dtype=here.dtype,
            device=OTHER,
            requires_grad=here.requires_grad,
        )

    def __init__(self, here):
        self.here = here

    def __repr__(self, **kwargs):
        return f"There({self.here!r})"

    @classmethod
    def __torch_dispatch__(cls, func, types, args=(), kwargs=None):
        with OtherDevice():
            return func(*args, **(kwargs or {}))


class OtherDevice(TorchDispatchMode):
    """While it is entered, the other device is there; it counts what the host waits for."""

    def __init__(self):
        super().__init__()
        self.waits = []

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        kwargs = dict(kwargs or {})
        packet = getattr(func, "overloadpacket", None)
        flat = [x for x in tree_flatten((args, kwargs))[0] if isinstance(x, torch.Tensor)]
        there = [x for x in flat if isinstance(x, There)]
        here = [x for x in flat if not isinstance(x, There) and x.ndim]
        if packet in _TAKES_CPU_INDICES and isinstance(args[0], There):
            here = []
        if there and here and packet not in _CROSSING:
            raise RuntimeError(f"{func}: expected all tensors on one device, got two")
        onto = kwargs.get("device")
        onto = bool(there) if onto is None else torch.device(onto).type == OTHER.type
        if kwargs.get("device") is not None:
            kwargs["device"] = torch.device("cpu")
        reads = packet in {aten._local_scalar_dense, aten.item, aten.nonzero, aten.equal}
        if there and (reads or (packet in _CROSSING and not onto)):
            self.waits.append(str(packet))
        real_args, real_kwargs = tree_map_only(There, lambda x: x.here, (args, kwargs))
        result = func(*real_args, **real_kwargs)
        if not onto:
            return result
        wrapped = tree_map_only(torch.Tensor, There, result)
        return return_and_correct_aliasing(func, args, kwargs, wrapped) if there else wrapped


class _Made(TorchFunctionMode):
    """Makes tensors of Python's numbers, which torch does beneath `OtherDevice`."""

    def __torch_function__(self, func, types, args=(), kwargs=None):
        kwargs = dict(kwargs or {})
        if func is torch.tensor or func is torch.Tensor.new_tensor:
            device = kwargs.pop("device", None)
            onto = torch.device(device or "cpu").type == OTHER.type
            if func is torch.Tensor.new_tensor:
                like, *args = args
                kwargs.setdefault("dtype", like.dtype)
                onto = isinstance(like, There) if device is None else onto
            args = tree_map_only(There, lambda x: x.item(), tuple(args))
            made = torch.tensor(*args, **kwargs)
            return There(made) if onto else made
        if func is torch.Tensor.tolist and isinstance(args[0], There):
            return args[0].cpu().tolist()
        return func(*args, **kwargs)


@contextlib.contextmanager
def other_device():
    """Make the other device usable; modules can be moved to it. Gives the `OtherDevice`."""
    before = torch.__future__.get_overwrite_module_params_on_conversion()
    torch.__future__.set_overwrite_module_params_on_conversion(True)
    # torch's meta device has no autocast, and tensors of inference mode cannot be wrapped.
    autocast, inference_mode = torch.autocast, torch.inference_mode
    torch.autocast = lambda device_type, *args, **kwargs: autocast("cpu", *args, **kwargs)
    torch.inference_mode = torch.no_grad
    resize_matrix.cache_clear()  # tables on the real meta device lie there under the same name
    try:
        with torch.no_grad(), _Made(), OtherDevice() as device:
            yield device
    finally:
        torch.__future__.set_overwrite_module_params_on_conversion(before)
        torch.autocast, torch.inference_mode = autocast, inference_mode
        resize_matrix.cache_clear()


LAYERS = {1: [3, 5], 2: [7]}
NEURONS = RegisterNeurons("", LAYERS)
SMALL = {"img_size": 64, "depth": 4, "embed_dim": 32, "num_heads": 2, "init_values": 1.0}


@pytest.fixture
def images():
    return torch.randn(4, 3, 64, 64, generator=torch.Generator().manual_seed(0))


def test_devices_cannot_be_mixed_nor_read_by_numpy():
    with other_device():
        there = torch.ones(3).to(OTHER)
        assert isinstance(there * 2, There)
        assert (there * 2).cpu().tolist() == [2, 2, 2]
        with pytest.raises(RuntimeError, match="expected all tensors on one device"):
            there + torch.ones(3)
        with pytest.raises(RuntimeError, match="numpy"):
            there.numpy()


@pytest.mark.parametrize("memory_budget", [2**62, 0])
def test_search__waits_once_in_a_batch(make_vit, images, memory_budget):
    options = {"threshold": 4.0, "top_k": 5, "memory_budget": memory_budget}
    expected = find_register_neurons(make_vit(), images, batch_size=2, **options)
    waits = []
    with other_device() as device:
        vit = make_vit().to(OTHER)
        for batch_size in (4, 2, 1):
            before = len(device.waits)
            found = find_register_neurons(vit, list(images), batch_size=batch_size, **options)
            waits.append(len(device.waits) - before)
    assert found.layers == expected.layers
    assert found.num_outliers == expected.num_outliers > 0
    assert [more - waits[0] for more in waits] == [0, 1, 3]


@pytest.mark.parametrize(
    "options",
    [{}, {"peak": "layer", "keep_cls": True}, {"fill": "mean"}, {"fill": "only_outliers"}],
)
def test_registers__as_tokens(make_vit, images, options):
    expected = add_test_time_registers(make_vit(), NEURONS, **options).forward_features(images)
    with other_device() as device:
        x = images.to(OTHER)
        for vit in (
            add_test_time_registers(make_vit().to(OTHER), NEURONS, **options),
            add_test_time_registers(make_vit(), NEURONS, **options).to(OTHER),
        ):
            before = len(device.waits)
            found = vit.forward_features(x)
            assert len(device.waits) == before
            torch.testing.assert_close(found.cpu(), expected)


def test_registers__on_patches_of_each_image(make_vit, images):
    boxes = [torch.tensor([[0.0, 0, 20, 9]]), torch.empty(0, 4), *torch.ones(2, 1, 4).cumsum(2)]

    def run(vit, images, boxes):
        mask = patches_in_boxes(boxes, (64, 64), (16, 16))
        with patches_receive(vit, mask):
            return vit.forward_features(images)

    expected = run(
        add_test_time_registers(make_vit(), NEURONS, positions="per_image"), images, boxes
    )
    with other_device() as device:
        vit = add_test_time_registers(make_vit(), NEURONS, positions="per_image").to(OTHER)
        x, there = images.to(OTHER), [of_image.to(OTHER) for of_image in boxes]
        before = len(device.waits)
        found = [run(vit, x, there)]
        assert len(device.waits) == before
        found.append(run(vit, x, boxes))  # of a data set, which are moved
        for each in found:
            torch.testing.assert_close(each.cpu(), expected)


def test_registers__as_constants_and_off_again(make_vit, images):
    plain = make_vit().forward_features(images)
    baked = bake_registers(make_vit(), NEURONS, images)
    expected = add_bias_registers(make_vit(), baked).forward_features(images)
    verified = verify_neurons(make_vit(), NEURONS, images, threshold=4.0, detect_block=2)
    with other_device():
        vit, x = make_vit().to(OTHER), images.to(OTHER)
        found = bake_registers(vit, NEURONS, images)
        torch.testing.assert_close(found.keys, baked.keys)
        torch.testing.assert_close(
            add_bias_registers(vit, found).forward_features(x).cpu(), expected
        )
        remove_test_time_registers(vit)
        torch.testing.assert_close(vit.forward_features(x).cpu(), plain)
        there = verify_neurons(vit, NEURONS, images, threshold=4.0, detect_block=2)
    assert there.outliers_after == verified.outliers_after
    assert there.cosine == pytest.approx(verified.cosine)


@pytest.mark.parametrize("find", [lost_batch, tokencut_batch])
def test_object_discovery(find):
    feats = torch.randn(3, 20, 8, generator=torch.Generator().manual_seed(1))
    place = ((4, 5), (16, 16), (60, 80))
    expected = find(feats, *place)
    with other_device():
        found = find(feats.to(OTHER), *place)
        assert all(isinstance(field, There) for field in found)
        assert found.boxes.cpu().tolist() == expected.boxes.tolist()
        assert found.seeds.cpu().tolist() == expected.seeds.tolist()


HEADS = {
    "linear": {"type": "LinearSegHead", "in_channels": [64], "num_classes": 7},
    "lin1": {"type": "LinearDepthHead", "in_channels": [64], "n_bins": 32},
    "dpt": {"type": "DPTDepthHead", "in_channels": [64] * 4, "channels": 16},
}


@pytest.mark.filterwarnings("ignore::UserWarning")  # mmseg's, of itself
@pytest.mark.parametrize("head", HEADS)
def test_model__neither_prediction_nor_loss_waits(head, images):
    init_default_scope("mmseg")
    backbone = {
        "type": "TimmViT",
        "model": "vit_tiny_patch16_224",
        "model_kwargs": SMALL,
        "precision": "fp32",
        "cls_token": "concat",
        "repair": {"type": "test_time", "neurons": LAYERS},
        "out_indices": (0, 1, 2, 3) if head == "dpt" else (-1,),
    }
    config = {
        "type": "EncoderDecoder" if head == "linear" else "DepthEstimator",
        "backbone": backbone,
        "decode_head": HEADS[head],
    }
    with other_device() as device:
        model = MODELS.build(config).to(OTHER)
        x = images.to(OTHER)
        samples = [sample(torch.Generator().manual_seed(index)) for index in range(len(x))]
        model(x, samples, mode="loss")  # the first of a size makes its tables
        model.eval()
        model.encode_decode(x, [s.metainfo for s in samples])
        before = len(device.waits)
        model.encode_decode(x, [s.metainfo for s in samples])
        losses = model.train()(x, samples, mode="loss")
        assert device.waits[before:] == []
        assert all(isinstance(value, There) for value in losses.values())
    assert isinstance(model.backbone, TimmViT)


def sample(random):
    made = SegDataSample(metainfo={"img_shape": (64, 64), "pad_shape": (64, 64)})
    labels = torch.randint(7, (1, 64, 64), generator=random)
    made.gt_sem_seg = PixelData(data=labels.to(OTHER))
    made.gt_depth_map = PixelData(data=(labels + 1.0).to(OTHER))
    return made
