"""The column store: an alignment in reference coordinates, ready to train on."""
