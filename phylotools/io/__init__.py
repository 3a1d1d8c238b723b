"""Files of the field: alignments, genomes, regions, variants; streams and atomic output."""
