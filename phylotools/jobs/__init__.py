"""Jobs in parts: a plan, partitions that run anywhere, and an output put together from them."""
