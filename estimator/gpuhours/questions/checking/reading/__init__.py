"""Text -> claims: the marks of a format, words and numbers, tables, prose, and which run a figure belongs to."""
