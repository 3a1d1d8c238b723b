"""A user's labels to a head, and adapters, on a model: fitted, and judged on groups never seen."""
