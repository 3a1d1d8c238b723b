"""bigWig, the format of dense tracks in genome browsers: written here, block by block."""
