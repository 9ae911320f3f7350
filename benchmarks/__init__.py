"""Longer runs that prove a claim; see README.md."""
