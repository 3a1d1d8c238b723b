"""Frozen embeddings judged: small heads on them, and what they reach on contigs never seen."""
