"""Pictures of predictions, scores and embeddings, each with its numbers as a table."""
