"""What things are. Frozen values; no I/O, no clock, no randomness."""
