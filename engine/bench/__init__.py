"""Measures the budgets of Winback on this machine, each beside the limit that it is held against.

One measurement a file; each takes a ``Stage`` (services of its own) and ``Sizes``, and gives
``Figure``s. ``winback bench`` runs them. Nothing here is imported by what runs in earnest.
"""
