"""Scenarios: tests that marketers write for their journeys, run under a virtual clock.

See journeys/tests/README.md for the format.
"""
