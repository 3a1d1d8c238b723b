"""Published tables of measurements and labels, made into variants that can be scored."""
