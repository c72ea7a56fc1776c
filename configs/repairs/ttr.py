"""One test-time register.

The peaks of the register neurons move to a further, untrained token. The neurons are those of the
list that ships for the model; `ttrb find-neurons` makes others.
"""

repair = dict(type="test_time", neurons="auto")
