"""Weights projected off the direction of outliers, without training.

This package's own control beside SINDER, in no paper. It belongs to one checkpoint: `ttrb repair
projection MODEL --images DIR --out FILE.safetensors`, then artifact=FILE.
"""

repair = dict(type="projection", artifact="auto")
