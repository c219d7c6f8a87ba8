"""The gpuhours command line: parse, call, print."""
