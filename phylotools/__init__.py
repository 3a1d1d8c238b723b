"""phylotools: genomic language models trained by phylogenetic likelihood."""

__version__ = "0.1.0"
