"""Embeddings: vectors of regions from the layers of a network."""
