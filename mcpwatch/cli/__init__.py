"""The command line: one file per noun, and the only place that prints to stdout."""
