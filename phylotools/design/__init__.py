"""Sequences designed by a model: sampled from it, or edited towards a target."""
