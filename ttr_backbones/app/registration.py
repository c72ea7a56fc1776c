"""Importing this registers every class that a config may name, and makes mmseg importable."""

import ttr_backbones.backbones
import ttr_backbones.datasets
import ttr_backbones.engine
import ttr_backbones.evaluation
import ttr_backbones.heads
import ttr_backbones.losses
import ttr_backbones.object_discovery
import ttr_backbones.open_vocabulary
import ttr_backbones.probes
import ttr_backbones.report.artifact_hook
import ttr_backbones.report.feature_cache_hook
import ttr_backbones.segmentors
import ttr_backbones.tasks
import ttr_backbones.zero_shot  # noqa: F401
