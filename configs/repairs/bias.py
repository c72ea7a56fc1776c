"""The bias form of one test-time register.

Its keys and values are constants, so nothing is moved at run time. The constants are those that
ship for the model; `ttrb repair bias` makes others.
"""

repair = dict(type="bias", artifact="auto")
