import pytest
import torch

from ttr_backbones.backbones import TimmViT
from ttr_backbones.backbones.cached import cache_features
from ttr_backbones.backbones.token_features import token_features
from ttr_backbones.errors import InputError
from ttr_backbones.registers import register_tokens
from ttr_backbones.vits.taps import Tap

VIT = "vit_tiny_patch16_224"
KWARGS = {"img_size": 64, "depth": 3, "embed_dim": 32, "num_heads": 2, "init_values": 1.0}
REPAIR = {"type": "test_time", "neurons": {"0": [3, 70]}}
NAMES = ("cls", "mean_patch", "central_patch", "outlier_patch")
TAPS = [Tap(2, "token", norm=True), Tap(1, "token", norm=False)]


def backbone(repair=None, **kwargs):
    torch.manual_seed(0)
    return TimmViT(VIT, model_kwargs={**KWARGS, **kwargs}, repair=repair).eval()


@torch.no_grad()
@pytest.mark.parametrize("repair", [None, REPAIR], ids=["plain", "register"])
def test_tokens__are_those_of_timms_intermediates(repair):
    vit, x = backbone(repair), torch.randn(3, 3, 64, 80)
    found = token_features(vit, x, TAPS, NAMES)
    for tap in TAPS:
        (last,) = vit.vit.get_intermediate_layers(
            x, n=[tap.block], norm=tap.norm, return_prefix_tokens=True
        )
        patches, cls = last[0], last[1][:, 0]
        (raw,) = vit.vit.get_intermediate_layers(x, n=[1])
        rows = raw.norm(dim=2).argmax(dim=1)
        expected = {
            "cls": cls,
            "mean_patch": patches.mean(dim=1),
            "central_patch": patches[:, 2 * 5 + 2],
            "outlier_patch": torch.stack([p[row] for p, row in zip(patches, rows, strict=True)]),
        }
        for name, token in expected.items():
            torch.testing.assert_close(found[tap][name], token, msg=name)
    alone = token_features(vit, x[1:2], TAPS, NAMES)
    for name in NAMES:
        torch.testing.assert_close(alone[TAPS[0]][name], found[TAPS[0]][name][1:2])


@torch.no_grad()
def test_register__is_the_test_time_one_or_the_first_trained_one():
    x = torch.randn(2, 3, 64, 64)
    vit = backbone(REPAIR)
    found = token_features(vit, x, TAPS[:1], ["register"])[TAPS[0]]["register"]
    torch.testing.assert_close(found, register_tokens(vit.vit, x)[:, 0])
    vit = backbone(reg_tokens=2)
    found = token_features(vit, x, TAPS[:1], ["register", "pooled"])[TAPS[0]]
    torch.testing.assert_close(found["register"], vit.vit.forward_features(x)[:, 1])
    torch.testing.assert_close(found["pooled"], vit.features(x).pooled)


def test_tokens__that_a_model_does_not_have():
    x = torch.randn(1, 3, 64, 64)
    for vit, name, message in (
        (backbone(), "register", "has no register: take another .* or give it one"),
        (backbone(class_token=False, global_pool="avg", fc_norm=False), "cls", "has no CLS token"),
        (backbone(), "patch", "unknown token 'patch'"),
    ):
        with pytest.raises(InputError, match=message):
            token_features(vit, x, TAPS[:1], [name])
    with pytest.raises(InputError, match="made of the last block after the final norm"):
        token_features(backbone(), x, TAPS, ["pooled"])
    with pytest.raises(InputError, match="set crop=False"):
        token_features(TimmViT(VIT, model_kwargs=KWARGS, crop=True), x, TAPS, ["cls"])


@torch.no_grad()
def test_cache__gives_what_was_computed_while_training_only_if_asked(tmp_path):
    vit, x = backbone(), torch.randn(2, 3, 64, 64)
    plain = token_features(vit, x, TAPS, NAMES)
    cached = cache_features(vit, tmp_path)
    for training in (True, False):
        cached.train(training)
        for _ in range(2):
            found = token_features(cached, x, TAPS, NAMES)
            assert all(torch.equal(found[t][n], plain[t][n]) for t in TAPS for n in NAMES)
    assert cached.feature_cache.counts[:2] == (2, 2)
    cached.train().cache_training = True
    token_features(cached, x, TAPS, NAMES)
    assert cached.feature_cache.counts[:2] == (4, 2)
