"""A fixed suite over the data and weights that are present: one page of numbers with intervals."""
