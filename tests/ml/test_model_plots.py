import base64
import io
import re
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from matplotlib import pyplot as plt
from matplotlib.figure import Figure
from PIL import Image

from fraud_assets.ml.calibration_plot import reliability_bins
from fraud_assets.ml.model_plots import confusion_matrix, importance_bars, model_figures, precision_recall, roc
from fraud_assets.ml.plot_style import new_figure, style, to_markdown, to_png

ALL = {"precision_recall", "roc", "calibration", "confusion_matrix", "scores", "importance"}


def predictions(rows: int = 20_000, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Labels, and probabilities that mean what they say; one row in fifty is a fraud."""
    random = np.random.default_rng(seed)
    probability = random.beta(0.05, 2.5, rows)
    return (random.random(rows) < probability).astype(np.int8), probability


def texts(figure: Figure) -> str:
    """Everything that is written on a figure but its ticks."""
    legends = [text.get_text() for legend in figure.legends for text in legend.get_texts()]
    return "\n".join([*legends, *(text.get_text() for axes in figure.axes for text in axes.texts)])


def test_a_model_has_all_plots_and_each_is_small() -> None:
    y, p = predictions()
    importance = {f"a column with quite a long name, number {i}": float(i) for i in range(45)}
    figures = model_figures(y, p, 0.2, baselines={"other": p**2}, importance=importance)
    assert set(figures) == ALL
    for name, figure in figures.items():
        assert 3_000 < len(to_png(figure)) < 60_000, name


def test_without_importance_there_is_no_plot_of_it() -> None:
    y, p = predictions(500)
    assert set(model_figures(y, p, 0.2)) == ALL - {"importance"}
    assert set(model_figures(y, p, 0.2, importance={"a": 0.0})) == ALL - {"importance"}


@pytest.mark.parametrize("value", [0.0, 1.0])
def test_a_model_that_says_the_same_of_all_rows_is_drawn(value: float) -> None:
    y = np.array([0] * 98 + [1] * 2)
    figures = model_figures(y, np.full(100, value, dtype=np.float32), 0.5)
    for figure in figures.values():
        figure.canvas.draw()


def test_one_class_and_other_shapes_are_refused() -> None:
    with pytest.raises(ValueError, match="all 5 rows have the same label"):
        model_figures(np.zeros(5, int), np.linspace(0, 1, 5), 0.5)
    with pytest.raises(ValueError, match=r"other has shape \(4,\), but y has \(5,\)"):
        model_figures(np.array([0, 1, 0, 1, 0]), np.linspace(0, 1, 5), 0.5, baselines={"other": np.zeros(4)})


def test_the_curves_say_their_scores_and_the_thresholds_point() -> None:
    y, p = np.array([0, 0, 0, 0, 1, 1]), np.array([0.1, 0.2, 0.3, 0.6, 0.5, 0.9])
    precision, operating = texts(precision_recall(y, p, 0.5)), texts(roc(y, p, 0.5))
    assert "average precision 0.833" in precision
    assert "prevalence: 33.33%" in precision
    assert "threshold 0.5: recall 1, precision 0.667" in precision
    assert "ROC AUC 0.875" in operating
    assert "threshold 0.5: false-positive rate 0.25, recall 1" in operating


def test_a_threshold_without_alarms_has_no_precision_to_show() -> None:
    y, p = predictions(500)
    assert "threshold" not in texts(precision_recall(y, p, 1.1))


def test_a_constant_baseline_is_no_curve() -> None:
    y, p = predictions(500)
    written = texts(precision_recall(y, p, 0.5, {"prevalence model": np.full(500, 0.02), "other": p**2}))
    assert "other" in written
    assert "prevalence model" not in written


def test_the_confusion_matrix_counts_rows() -> None:
    y, p = np.array([0] * 1500 + [1] * 4), np.array([0.0] * 1490 + [0.5] * 10 + [0.4, 0.5, 0.6, 0.7])
    written = texts(confusion_matrix(y, p, 0.5))
    assert "1,490" in written
    assert "true positives, 75.0% of the frauds" in written
    assert "false negatives, 25.0% of the frauds" in written
    assert "false positives, 0.7% of the legitimate" in written


def test_reliability_finds_the_truth_and_shows_overconfidence() -> None:
    y, p = predictions(200_000)
    honest = reliability_bins(y, p)
    assert len(honest.rows) == 10
    assert honest.rows.sum() == len(y)
    assert ((honest.low <= honest.predicted) & (honest.predicted <= honest.high)).sum() >= 8
    boasting = reliability_bins(y, np.sqrt(p))
    assert (boasting.high < boasting.predicted).all()


def test_equal_probabilities_stay_in_one_bin() -> None:
    y, p = np.array([1, 0] * 50), np.repeat([0.1, 0.9], 50)
    bins = reliability_bins(y, p)
    assert bins.predicted.tolist() == pytest.approx([0.1, 0.9])
    assert bins.observed.tolist() == [0.5, 0.5]


def test_importance_shows_the_top_twenty_as_shares_of_the_whole() -> None:
    figure = importance_bars({f"c{i}": float(i) for i in range(41)})
    names = [tick.get_text() for tick in figure.axes[0].get_yticklabels()]
    assert names == [f"c{i}" for i in range(40, 20, -1)]
    assert texts(figure).splitlines()[0] == "4.9"  # 40 of 820


def test_markdown_holds_the_picture_and_a_safe_alternative_text() -> None:
    y, p = predictions(300)
    shown = to_markdown(to_png(roc(y, p, 0.5)), "ROC [of]\nall")
    match = re.fullmatch(r"!\[ROC of all\]\(data:image/png;base64,([A-Za-z0-9+/=]+)\)", shown)
    assert match
    with Image.open(io.BytesIO(base64.b64decode(match[1]))) as image:
        assert image.format == "PNG"
        assert 550 <= image.width <= 920


def test_a_picture_full_of_lines_is_made_smaller() -> None:
    random = np.random.default_rng(0)
    figure = new_figure(4, title="lines")
    style(figure.subplots()).plot(random.random((12, 150)))
    with Image.open(io.BytesIO(to_png(figure))) as image:
        assert image.width < 900


def test_threads_draw_the_same_as_one_and_leave_pyplot_alone() -> None:
    y, p = predictions(2000)
    before = dict(plt.rcParams)

    def draw(_: int) -> bytes:
        return to_png(precision_recall(y, p, 0.5))

    alone = draw(0)
    with ThreadPoolExecutor(2) as pool:
        assert set(pool.map(draw, range(4))) == {alone}
    assert plt.get_fignums() == []
    assert dict(plt.rcParams) == before
