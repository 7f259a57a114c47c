"""The shell around the core: load, decide, commit."""
