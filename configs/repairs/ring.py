"""A ring of blank patches, one wide, around the image.

A control that needs no training and no search; it is in no paper by itself.
"""

repair = dict(type="ring", artifact="auto")
