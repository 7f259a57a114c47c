"""What should happen. Pure: no clock, no randomness, no network, no database (P8)."""
