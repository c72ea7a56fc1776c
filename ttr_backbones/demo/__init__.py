"""`ttrb demo`: the whole story on a model that is planted, with no network, data set or GPU."""
