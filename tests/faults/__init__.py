"""Searches that are broken at random moments, and what has to hold all the same."""
