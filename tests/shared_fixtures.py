"""Fixtures of the whole suite: small random ViTs, the real ViT and real images of `shared/`."""

from __future__ import annotations

import contextlib
import gc
import io
import multiprocessing
import os
import pickle
import sys
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NamedTuple

import pytest

from ttr_backbones.compat import prepare_mmseg

# One thread, also in the processes that tests start: workers run side by side, a fork has none of
# its parent's threads, and sums over several have another order.
os.environ["OMP_NUM_THREADS"] = os.environ["MKL_NUM_THREADS"] = "1"
gc.disable()  # until the first test: imports make objects that stay, and are gone through each time

prepare_mmseg()

import cv2  # noqa: E402
import torch  # noqa: E402
from timm.layers import weight_init  # noqa: E402
from timm.models.vision_transformer import VisionTransformer  # noqa: E402
from torch import distributed  # noqa: E402

# Where a loader is garbage before its processes know, torch waits so long for each of them.
torch.utils.data._utils.MP_STATUS_CHECK_INTERVAL = 0.2
torch.set_num_threads(1)
cv2.setNumThreads(1)
# torch decides at the first backward pass of a process whether autograd has threads of its own, and
# after FakeTensorMode it believes in a GPU: then a forked process could not train.
torch.ones(1, requires_grad=True).backward()

pytest_plugins = ["planted_vits", "eva_vits"]
REPO = Path(__file__).resolve().parent.parent
SHARED = Path(os.environ.get("TTRB_SHARED", REPO.parent / "shared"))
TINY = "vit_tiny_patch16_224.augreg_in21k_ft_in1k"


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item):
    """Skip what needs torch.export, before fixtures trace anything, where torch is too old."""
    if item.get_closest_marker("exports"):
        from ttr_backbones.export.packages import missing_packages_reason

        if reason := missing_packages_reason(".pt2"):
            pytest.skip(reason)


def drawn_where_there_is_memory(tensor, *args, draw=weight_init._trunc_normal_):
    """Leave a meta tensor as it is: torch would go through the kernels in Python."""
    return tensor if tensor.is_meta else draw(tensor, *args)


@pytest.fixture(scope="session", autouse=True)
def quick_runners():
    """Make Runners cheap, of which there are hundreds, and models without memory.

    mmengine formats the config with yapf for every checkpoint and collects garbage for every data
    set, each time through all modules that were imported since; both cost more than training here.
    Processes that tests start from the command line do without this, as users do.
    """
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("mmengine.config.config.FormatCode", lambda text, **_: (text, True))
        patched.setattr("mmengine.dataset.base_dataset.gc", SimpleNamespace(collect=lambda: 0))
        patched.setattr(weight_init, "_trunc_normal_", drawn_where_there_is_memory)
        gc.freeze()
        gc.set_threshold(7000, 10, 10)  # of 700, and each time through what tests have made so far
        gc.enable()
        yield


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of real weights and data; tests that need it skip where it is absent."""
    if not SHARED.is_dir():
        pytest.skip(f"no folder {SHARED}: set TTRB_SHARED to run the tests on real data")
    return SHARED


@pytest.fixture(scope="session")
def tiny_weights(shared: Path) -> Path:
    return shared / "weights" / "vit_tiny_patch16_224.safetensors"


@pytest.fixture(scope="session")
def small_ade20k(shared: Path, tmp_path_factory) -> Path:
    """Images of `shared/`'s ADE20K at half their size: its 150 logits per pixel take seconds."""
    root = tmp_path_factory.mktemp("small") / "ADEChallengeData2016"
    for split, count in (("training", 4), ("validation", 3)):
        for kind, suffix in (("images", "jpg"), ("annotations", "png")):
            (root / kind / split).mkdir(parents=True)
            files = sorted((shared / "data" / root.name / kind / split).glob(f"*.{suffix}"))
            for file in files[:count]:
                pixels = cv2.imread(str(file), cv2.IMREAD_UNCHANGED)
                pixels = cv2.resize(pixels, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_NEAREST)
                cv2.imwrite(str(root / kind / split / file.name), pixels)
    return root


@pytest.fixture(scope="session")
def make_vit():
    """Make a random ViT whose LayerScale hides nothing: init_values=1.0 (DINOv2's is 1e-5)."""

    def make(seed: int = 0, **kwargs) -> VisionTransformer:
        torch.manual_seed(seed)
        options = {
            "img_size": 64,
            "patch_size": 16,
            "embed_dim": 32,
            "depth": 4,
            "num_heads": 2,
            "num_classes": 5,
            "init_values": 1.0,
            "dynamic_img_size": True,
        } | kwargs
        vit = VisionTransformer(**options).eval()
        # Random position embeddings: the zeros of some inits would hide a misplaced row.
        for name, parameter in vit.named_parameters():
            if name in ("pos_embed", "cls_token", "reg_token"):
                torch.nn.init.normal_(parameter, std=0.5)
        return vit

    return make


@pytest.fixture(scope="session")
def photos(shared: Path):
    """Real photographs as the tiny ViT expects them: size -> [8, 3, size, size]."""
    files = sorted((shared / "data" / "photos").iterdir())[:8]

    def load(size: int) -> torch.Tensor:
        images = []
        for file in files:
            image = cv2.cvtColor(cv2.imread(str(file)), cv2.COLOR_BGR2RGB)
            image = cv2.resize(image, (size, size), interpolation=cv2.INTER_AREA)
            images.append(torch.from_numpy(image).permute(2, 0, 1).float() / 127.5 - 1)
        return torch.stack(images)

    return load


class Outcome(NamedTuple):
    """What a process gave back and printed."""

    value: Any
    out: str
    err: str


@pytest.fixture(scope="session")
def start_forked():
    """Start a function in a process of its own, whose output nobody sees; give the process.

    It is forked, which saves the seconds that imports take in a new process.
    """
    if torch.cuda.is_available():
        pytest.skip("a process that has used CUDA cannot be forked")

    def start(function, *args):
        process = multiprocessing.get_context("fork").Process(
            target=_unheard, args=(function, args)
        )
        process.start()
        return process

    return start


def _unheard(function, args):
    torch.set_num_threads(1)  # a fork has none of its parent's threads, and would wait for them
    cv2.setNumThreads(0)
    nobody = io.StringIO()
    with contextlib.redirect_stdout(nobody), contextlib.redirect_stderr(nobody):
        sys.exit(function(*args))


@pytest.fixture
def two_processes(tmp_path_factory):
    """Run a function in two processes of one gloo job; give both outcomes.

    They are forked, which saves the seconds that imports take in a new process.
    """
    if torch.cuda.is_available():
        pytest.skip("a process that has used CUDA cannot be forked")
    fork = multiprocessing.get_context("fork")

    def run(function, *args, join=True) -> list[Outcome]:
        rendezvous = tmp_path_factory.mktemp("rendezvous") / "file" if join else None
        processes, ends = [], []
        for rank in range(2):
            receiving, sending = fork.Pipe(duplex=False)
            arguments = (rank, rendezvous, sending, function, args)
            processes.append(fork.Process(target=_one_of_two, args=arguments))
            ends.append(receiving)
            processes[-1].start()
            sending.close()
        try:
            assert all(end.poll(120) for end in ends), "a process does not end"
            return [pickle.loads(end.recv_bytes()) for end in ends]
        except EOFError:
            pytest.fail("a process ended without a result; its traceback is above")
        finally:
            for process in processes:
                process.join(30)
                process.kill()

    return run


def _one_of_two(rank, rendezvous, pipe, function, args):
    # A fork has none of its parent's threads, and would wait for them.
    torch.set_num_threads(1)
    cv2.setNumThreads(0)
    names = {"RANK": str(rank), "WORLD_SIZE": "2", "LOCAL_RANK": str(rank)}
    os.environ.update(names, GLOO_SOCKET_IFNAME="lo")
    if rendezvous is not None:
        distributed.init_process_group(
            "gloo",
            init_method=f"file://{rendezvous}",
            rank=rank,
            world_size=2,
            timeout=timedelta(seconds=60),
        )
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        value = function(*args)
    if rendezvous is not None:
        distributed.barrier()
        distributed.destroy_process_group()
    # Pickled here: a pipe would hand over shared memory, which goes with this process.
    pipe.send_bytes(pickle.dumps(Outcome(value, out.getvalue(), err.getvalue())))
