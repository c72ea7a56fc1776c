"""Pascal VOC 2012 val, 20 classes, with rows of an ImageNet classifier in the place of texts.

A supervised model has no texts, but each VOC class is several of ImageNet's 1,000, and the rows of
its classifier are compared with patches as the vectors of texts are: so the whole path runs on a
backbone that was never trained with texts. Numbers are those of classes in ImageNet's usual order,
a pair is a range. They are chosen by the classes' names; VOC's person has three that are worn or
done by one. Whole images, no softmax temperature, no thresholds, whatever the method.
"""

from mmengine.config import read_base

with read_base():
    from .voc20 import test_dataloader, test_evaluator

data = dict(
    name="classifier_voc20",
    title="VOC 2012, 20 classes, rows of a classifier",
    numbers=dict(
        short_side=336,
        crop=None,
        stride=None,
        logit_scale=1.0,
        prob_thd=0.0,
        area_thd=0.0,
        pamr=None,
    ),
)
text = dict(
    rows=dict(
        aeroplane=[404, 895],  # airliner, warplane
        bicycle=[444, 671],  # tandem, mountain bike
        bird=[(7, 24), (80, 100), (127, 146)],
        # canoe, catamaran, container ship, fireboat, gondola, lifeboat, liner, pirate ship,
        # schooner, speedboat, trimaran, yawl
        boat=[472, 484, 510, 554, 576, 625, 628, 724, 780, 814, 871, 914],
        bottle=[440, 720, 737, 898, 907],  # of beer, pills, pop, water, wine
        bus=[654, 779, 874],  # minibus, school bus, trolleybus
        # ambulance, station wagon, cab, convertible, jeep, limousine, minivan, Model T, racing
        # car, sports car
        car=[407, 436, 468, 511, 609, 627, 656, 661, 751, 817],
        cat=[(281, 285)],
        chair=[423, 559, 765],  # barber's, folding and rocking chair
        cow=[345],  # ox
        diningtable=[532],
        dog=[(151, 268)],
        horse=[339],  # sorrel
        motorbike=[665, 670],  # moped, scooter
        person=[(981, 983)],  # ball player, groom, diver
        pottedplant=[738],  # flowerpot
        sheep=[348, 349],  # ram, bighorn
        sofa=[831],
        # bullet train, electric locomotive, passenger car, steam locomotive, tram
        train=[466, 547, 705, 820, 829],
        tvmonitor=[664, 782, 851],  # monitor, screen, television
    )
)
