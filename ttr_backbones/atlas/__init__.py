"""Register neurons of many models, one after the other, in one table."""
