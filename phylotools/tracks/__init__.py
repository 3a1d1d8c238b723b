"""A model's predictions for every position of a genome, as files for genome browsers."""
