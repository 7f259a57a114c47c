"""The command line: one command per file, found by its name. Each file exposes ``command``."""
