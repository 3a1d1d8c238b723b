"""From a column store to per-site fits: tables and tracks."""
