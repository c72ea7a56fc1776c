"""Numbers of the real ViT on real photographs, against what the model gives by hand."""

import pytest
import torch

from ttr_backbones.backbones import TimmViT
from ttr_backbones.registers import token_norms
from ttr_backbones.report.block_statistics import BlockRecorder
from ttr_backbones.vits.attention import cls_attention

TAG = "vit_tiny_patch16_224.augreg_in21k_ft_in1k"


def by_hand(vit, images, block):
    """Patch norms and share of the largest possible entropy, of raw outputs of timm's own pass."""
    options = {"output_fmt": "NLC", "intermediates_only": True, "return_prefix_tokens": True}
    (tokens, prefix), (patches, _) = vit.forward_intermediates(
        images, indices=[block - 1, block], **options
    )
    tokens = torch.cat([prefix, tokens], dim=1)
    shares = cls_attention(vit, block, vit.blocks[block].norm1(tokens), (14, 14))
    shares = shares / shares.sum(dim=-1, keepdim=True)
    entropy = -(shares * shares.log()).sum(dim=-1) / torch.tensor(float(shares.shape[-1])).log()
    return token_norms(patches), entropy.mean().item()


@pytest.mark.parametrize("repair", [None, {"type": "test_time", "neurons": "auto"}])
@torch.no_grad()
def test_recorder__equals_a_pass_by_hand(tiny_weights, photos, repair):
    backbone = TimmViT(TAG, checkpoint=tiny_weights, out_indices=(6, 11), repair=repair)
    images = photos(224)[:4]
    recorder = BlockRecorder(backbone, backbone.out_indices, threshold=76.0)
    recorder.start()
    for part in images.split(3):  # over several passes
        measured = backbone(part)
    recorder.stop()
    told = recorder.results()
    for block in (6, 11):
        norms, entropy = by_hand(backbone.vit, images, block)
        assert told[f"largest_norm_block{block}"] == pytest.approx(norms.max().item(), rel=1e-4)
        fraction = (norms > 76).float().mean().item()
        assert told[f"outlier_fraction_block{block}"] == pytest.approx(fraction)
        assert told[f"attention_entropy_block{block}"] == pytest.approx(entropy, rel=1e-4)
        assert 0 < entropy < 1
    assert (told["outlier_fraction_block11"] > 0) == (repair is None)
    torch.testing.assert_close(recorder.first_input, images[:3])
    assert recorder.norms[11].shape == (1, 14, 14)
    before = dict(told)
    for one, other in zip(backbone(images[3:]), measured, strict=True):  # not measured any more
        assert torch.equal(one, other)
    assert recorder.results() == before


@torch.no_grad()
def test_recorder__without_a_threshold_takes_that_of_each_image(tiny_weights, photos):
    backbone = TimmViT(TAG, checkpoint=tiny_weights)
    recorder = BlockRecorder(backbone, [11], threshold=None)
    recorder.start()
    backbone(photos(224)[:2])
    assert 0.005 < recorder.results()["outlier_fraction"] < 0.05


@torch.no_grad()
def test_recorder__model_without_a_cls_token(make_vit):
    backbone = TimmViT("vit_tiny_patch16_224", model_kwargs={"depth": 1})
    backbone.vit = make_vit(class_token=False, global_pool="avg", depth=1)
    recorder = BlockRecorder(backbone, [0], threshold=1.0)
    recorder.start()
    backbone.vit.norm = torch.nn.Identity()
    backbone(torch.randn(1, 3, 64, 48))
    assert recorder.results().keys() == {"outlier_fraction", "largest_norm"}
    assert recorder.norms[0].shape == (1, 4, 3)
