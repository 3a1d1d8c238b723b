"""Networks as PhyloGPN's authors have published them, and how they become model folders."""
