"""Winback: rule-defined journeys that win shoppers back until the purchase stops them."""

__version__ = "0.1.0"
