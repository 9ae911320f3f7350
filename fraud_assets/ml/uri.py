"""Locations as text."""

import re


def without_credentials(location: str) -> str:
    """`location` without the `key:secret@` that a URI may carry before its bucket or host."""
    return re.sub(r"//[^/@\s]*@", "//", location)
