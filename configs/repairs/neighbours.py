"""Outlier patches replaced by the mean of their clean neighbours behind one block.

As SC-CLIP does (arXiv 2411.15869), with options. It belongs to one checkpoint: `ttrb repair
neighbours MODEL --images DIR --out FILE.safetensors`, then artifact=FILE.
"""

repair = dict(type="neighbours", artifact="auto")
