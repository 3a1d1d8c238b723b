"""From column stores and a TOML configuration to a model."""
