"""What a model says of every position of a genome, as files for genome browsers."""
