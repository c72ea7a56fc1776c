"""One table across configs, kinds of registers and seeds, beside the papers' numbers."""
