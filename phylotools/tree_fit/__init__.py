"""A tree fitted to a column store: a sample of columns, the fit, what it is worth, a report."""
