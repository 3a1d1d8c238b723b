"""Engines: what has the partitions of a job run in other processes, here or on a cluster."""
