"""Embeddings: what the layers of a network say of regions, as vectors."""
