"""Evaluation protocols by name: one small TOML file each, beside the code that reads them."""
