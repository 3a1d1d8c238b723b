"""Compare scores with labels: metrics with intervals, tables and pictures."""
