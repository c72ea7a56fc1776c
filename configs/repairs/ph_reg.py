"""PH-Reg: a student of its own shifted views, with 16 registers.

Nothing ships: give the authors' file or one that was trained here, as in `ttrb train NAME
--cfg-options model.backbone.repair.artifact=FILE`. `ttr_backbones.distillation` trains.
"""

repair = dict(type="ph_reg", artifact="auto")
