"""One table across configs, repairs and seeds, beside the papers' numbers."""
