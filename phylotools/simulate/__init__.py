"""Simulated alignments with the truth: sites, columns, missing data, files."""
