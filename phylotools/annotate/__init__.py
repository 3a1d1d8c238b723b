"""Run a model over sequence and score what a user asks about."""
