"""Multiple alignments: MAF, TAF and aligned FASTA -> rows of blocks -> reference coordinates."""
