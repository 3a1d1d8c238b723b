"""A training configuration that suits column stores, with its reasons."""
