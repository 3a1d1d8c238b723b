"""Functions over a model, for people who write Python. `phylotools` itself offers them."""
