"""Trees, substitution models and the likelihood of alignment columns."""
