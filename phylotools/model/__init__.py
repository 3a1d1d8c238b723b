"""The network, its presets, its weights and the model folder."""
