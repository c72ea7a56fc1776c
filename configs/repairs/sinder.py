"""SINDER: singular values trained until patches are drawn to no direction.

arXiv 2407.16826. The change is folded into the weights and costs nothing at run time. It belongs to
one checkpoint: `ttrb repair sinder MODEL --images DIR --out FILE.safetensors`, then artifact=FILE.
"""

repair = dict(type="sinder", artifact="auto")
