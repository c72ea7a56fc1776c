"""Data sets and the transforms that mmseg lacks; importing this registers them."""

# ruff: noqa: E402 -- mmseg has to be made importable before anything imports it
from ttr_backbones.compat import prepare_mmseg

prepare_mmseg()

from ttr_backbones.datasets.box_loading import LoadBoxes, PackBoxInputs
from ttr_backbones.datasets.box_sample import BoxSample
from ttr_backbones.datasets.check_left_out import CheckLeftOut
from ttr_backbones.datasets.class_folders import ClassFolders
from ttr_backbones.datasets.class_sample import ClassSample, PackClassInputs
from ttr_backbones.datasets.coco20k import COCO20k
from ttr_backbones.datasets.coco_object import COCOObjectDataset
from ttr_backbones.datasets.depth_data import KITTIDepth, NYUDepthV2
from ttr_backbones.datasets.depth_loading import LoadDepth
from ttr_backbones.datasets.depth_transforms import Albumentations, ColorAug, KBCrop
from ttr_backbones.datasets.image_folder import ImageFolder
from ttr_backbones.datasets.imagenet_segmentation import (
    ForegroundMask,
    ForegroundSample,
    ImageNetSegmentation,
    LoadForeground,
    LoadMatImage,
    PackForegroundInputs,
)
from ttr_backbones.datasets.loading import LoadImage, LoadSegMask
from ttr_backbones.datasets.model_crop import ModelCrop
from ttr_backbones.datasets.torchvision_transforms import TorchvisionTransforms
from ttr_backbones.datasets.typographic import PackTypographicInputs, TypographicAttacks
from ttr_backbones.datasets.voc20 import PascalVOC20Dataset
from ttr_backbones.datasets.voc_boxes import VOCBoxes

__all__ = [
    "Albumentations",
    "BoxSample",
    "COCO20k",
    "COCOObjectDataset",
    "CheckLeftOut",
    "ClassFolders",
    "ClassSample",
    "ColorAug",
    "ForegroundMask",
    "ForegroundSample",
    "ImageFolder",
    "ImageNetSegmentation",
    "KBCrop",
    "KITTIDepth",
    "LoadBoxes",
    "LoadDepth",
    "LoadForeground",
    "LoadImage",
    "LoadMatImage",
    "LoadSegMask",
    "ModelCrop",
    "NYUDepthV2",
    "PackBoxInputs",
    "PackClassInputs",
    "PackForegroundInputs",
    "PackTypographicInputs",
    "PascalVOC20Dataset",
    "TorchvisionTransforms",
    "TypographicAttacks",
    "VOCBoxes",
]
