"""How every plot looks, and how one becomes a file or a part of a page.

Figures are made without pyplot: it keeps every figure in a list of the process, and its style settings are the
process's, so plots of two threads would meet there. What style there is, is set on the figure itself.
"""

import base64
import io
import re
from typing import TYPE_CHECKING, Literal

from fraud_assets.ml.evaluate import Objective, direction

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Okabe and Ito (2008), distinct for colour-blind eyes; yellow is left out, because it vanishes on white.
BLUE, VERMILION, GREEN, ORANGE, SKY, PURPLE = "#0072B2", "#D55E00", "#009E73", "#E69F00", "#56B4E9", "#CC79A7"
PALETTE = (BLUE, VERMILION, GREEN, ORANGE, PURPLE, SKY)
MARKERS = ("o", "s", "^", "D", "v", "P", "X")
INK, MUTED, FAINT = "#222222", "#6E6E6E", "#DDDDDD"
SEQUENTIAL = "viridis"
SMALL, NORMAL, TITLE = 8.5, 9.5, 11.0

_WIDTH = 7.0
# 910, 700 and 560 pixels a row: crisp where 700 are shown, and down from there until the file is small enough.
_DPIS = (130, 100, 80)
_COLORS = 64
_MOST_BYTES = 60_000


def new_figure(height: float, *, title: str, width: float = _WIDTH) -> "Figure":
    """An empty figure of `width` × `height` inches, with its title at the top left."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained", facecolor="white")
    FigureCanvasAgg(figure)
    figure.suptitle(title, x=0.01, ha="left", fontsize=TITLE, fontweight="bold", color=INK)
    return figure


def style(
    axes: "Axes", *, x: str = "", y: str = "", title: str = "", grid: Literal["x", "y", "both"] | None = "both"
) -> "Axes":
    """Label an axes and take away what isn't data; `grid` is the axis that has grid lines."""
    axes.set_xlabel(x, fontsize=NORMAL, color=INK)
    axes.set_ylabel(y, fontsize=NORMAL, color=INK)
    if title:
        axes.set_title(title, loc="left", fontsize=NORMAL, color=INK)
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color(MUTED)
    axes.tick_params(which="both", labelsize=SMALL, color=MUTED, labelcolor=INK)
    axes.set_axisbelow(True)
    if grid:
        axes.grid(axis=grid, color=FAINT, linewidth=0.6)
    return axes


def legend_below(figure: "Figure", axes: "Axes", *, columns: int = 2) -> None:
    """The legend of `axes` under the figure, where it covers no data."""
    handles, labels = axes.get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower left", ncols=columns, fontsize=SMALL, frameon=False)


def readable(metric: str) -> str:
    """A metric's name as people write it."""
    return {"roc_auc": "ROC AUC", "f1": "F1"}.get(metric, metric.replace("_", " "))


def better(metric: Objective) -> str:
    """Which way is up."""
    return "lower is better" if direction(metric) == "min" else "higher is better"


def shorten(name: str, length: int = 30) -> str:
    """`name`, or its beginning and end where it's longer than a label may be."""
    return name if len(name) <= length else f"{name[: length // 2]}…{name[-(length // 2 - 1) :]}"


def sentence(text: str) -> str:
    """`text` with a capital first letter, the rest as it is."""
    return text[:1].upper() + text[1:]


def to_png(figure: "Figure") -> bytes:
    """The figure as a PNG of less than 60 kB, where its content allows: 910 pixels a row, else 700, else 560.

    A plot has few colours: a palette of 64 makes the file a third of its size, and nothing visible is lost.
    """
    png = b""
    for dpi in _DPIS:
        png = _png(figure, dpi)
        if len(png) < _MOST_BYTES:
            break
    return png


def _png(figure: "Figure", dpi: int) -> bytes:
    from PIL import Image

    raw, png = io.BytesIO(), io.BytesIO()
    figure.savefig(raw, format="png", dpi=dpi)
    raw.seek(0)
    with Image.open(raw) as image:
        # Median cut, Pillow's default, would mix away the colour of a single marker.
        small = image.convert("RGB").quantize(_COLORS, Image.Quantize.MAXCOVERAGE, dither=Image.Dither.NONE)
    small.save(png, format="png", optimize=True)
    return png.getvalue()


def to_markdown(png: bytes, alt: str) -> str:
    """A Markdown image that holds its own data, as `MetadataValue.md` of Dagster shows it.

    Args:
        png: what to show.
        alt: what it shows, for those who don't see it.
    """
    text = re.sub(r"[\[\]\\\s]+", " ", alt).strip()
    return f"![{text}](data:image/png;base64,{base64.b64encode(png).decode('ascii')})"
