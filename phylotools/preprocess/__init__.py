"""Alignment -> column store: planned, cut into partitions, put together."""
