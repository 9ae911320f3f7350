"""Names for things that are equal when what they are made from is equal."""

import hashlib
import json
from typing import Any


def digest(value: Any) -> str:
    """16 hex digits that stand for a value of JSON types; the order of keys leaves no trace."""
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()[:16]
