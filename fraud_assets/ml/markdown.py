"""Small pieces of GitHub's Markdown, which is readable as plain text too: MLflow shows an artifact either way."""

import re
from collections.abc import Mapping, Sequence

import pandas as pd


def text(value: object) -> str:
    """A value for a line or a cell; what Markdown or HTML would take for markup is shown as it is."""
    if value is None:
        return ""
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, int) and not isinstance(value, bool):
        return f"{value:,}"
    if isinstance(value, pd.Timestamp):
        return f"{value:%Y-%m-%d %H:%M}"
    plain = re.sub(r"([\\|*`<\[\]])", r"\\\1", str(value))
    # An underscore inside a word is no markup.
    return re.sub(r"\s+", " ", re.sub(r"(?<!\w)_|_(?!\w)", r"\_", plain)).strip()


def table(header: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """A table, its columns as wide as their widest cell; numbers are to the right."""
    numeric = [all(isinstance(row[i], int | float | None) for row in rows) for i in range(len(header))]
    cells = [[text(name) for name in header], *([text(value) for value in row] for row in rows)]
    width = [max(3, *(len(row[i]) for row in cells)) for i in range(len(header))]
    lines = [
        "| "
        + " | ".join(cell.rjust(width[i]) if numeric[i] else cell.ljust(width[i]) for i, cell in enumerate(row))
        + " |"
        for row in cells
    ]
    rule = (
        "|"
        + "|".join(f" {'-' * (w - 1)}: " if n else f" {'-' * w} " for w, n in zip(width, numeric, strict=True))
        + "|"
    )
    return "\n".join([lines[0], rule, *lines[1:]])


def bullets(lines: Sequence[str]) -> str:
    """A list; each line is Markdown already."""
    return "\n".join(f"- {line}" for line in lines)


def facts(values: Mapping[str, object]) -> str:
    """A list of `name: value`, without those that are None or empty."""
    return bullets([f"{name}: {text(value)}" for name, value in values.items() if value not in (None, "", ())])


def join(*parts: str) -> str:
    """Paragraphs, without those that are empty."""
    return "\n\n".join(part for part in parts if part)


def shortened(page: str, most: int, rest: str) -> str:
    """A page of at most so many characters: whole sections, and then the sentence that says where the rest is.

    Args:
        page: Markdown.
        most: characters that it may have; `rest` has to fit.
        rest: stands in place of the sections that don't fit.
    """
    if len(page) <= most:
        return page
    sections = page.split("\n\n## ")
    while len(sections) > 1 and len("\n\n## ".join(sections)) + len(rest) + 3 > most:
        sections.pop()
    kept = "\n\n## ".join(sections)[: most - len(rest) - 3]
    return f"{kept}\n\n{rest}\n"
