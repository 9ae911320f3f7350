"""The model card: what a model is for, what it was made from, how good it is, and what nobody knows about it.

Its sections are those of Mitchell et al. 2019, "Model Cards for Model Reporting" (https://arxiv.org/abs/1810.03993).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from fraud_assets.ml import model_card_sections as sections
from fraud_assets.ml.markdown import join, text

Interval = tuple[float, float]


@dataclass(frozen=True)
class Part:
    """Rows with one role in the split.

    Attributes:
        name: of the role: `holdout`, `fold_0`, …
        rows: how many.
        frauds: how many of them are frauds.
        start: time of the first, as text, where the data has times.
        end: time of the last.
    """

    name: str
    rows: int
    frauds: int
    start: str | None = None
    end: str | None = None


@dataclass(frozen=True)
class ModelCard:
    """What is known of a model; what is None or empty is left out, or said to be missing where a reader must know.

    Attributes:
        name: of the registered model.
        version: of it.
        model_uri: what loads this very model, such as `models:/fraud_model/3`.
        created: when it was fitted, as text.
        run: the MLflow run that it belongs to: a link or an id.
        source: where the data was read from; without credentials.
        data_version: digest of the data.
        rows: how many rows there were in all.
        frauds: how many of them are frauds.
        time_span: time of the first and the last row, as text.
        roles: column by role: label, entity, time.
        features: the columns that the model sees.
        categorical: those of them that are categories.
        sampled: what is known of how rows came into the data (a period, a sample), in a sentence.
        split: how the rows were split, in a sentence.
        parts: the roles and their sizes.
        search_space: what was tried.
        trials: number of trials by status.
        metric: what was optimized.
        members: what the model averages: name, share and configuration of each; one where it is a single fit.
        validation: mean of each metric over the validation folds, and `<metric>_std`, its standard deviation.
        holdout: metrics on the holdout, by a fit that did not see it.
        intervals: of metrics in `holdout`: lower and upper end.
        interval_level: how often an interval is to hold what other data would say.
        baselines: the metrics of other models on the holdout, by their names.
        gains: by how much the model is better in `metric` than each baseline: value, lower and upper end.
        has_signal: whether the holdout shows the model to be better than guessing; None where nobody has looked.
        threshold: a transaction is called fraud where its probability is at least this.
        threshold_rule: how the threshold was chosen, in a sentence.
        refit_on_all: whether the model was fitted once more on all rows, holdout included; None where unknown.
        limits: what else a user must know, a sentence each.
    """

    name: str
    version: str | int | None = None
    model_uri: str | None = None
    created: str | None = None
    run: str | None = None
    source: str | None = None
    data_version: str | None = None
    rows: int | None = None
    frauds: int | None = None
    time_span: tuple[str, str] | None = None
    roles: Mapping[str, str] = field(default_factory=dict)
    features: Sequence[str] = ()
    categorical: Sequence[str] = ()
    sampled: str | None = None
    split: str | None = None
    parts: Sequence[Part] = ()
    search_space: str | None = None
    trials: Mapping[str, int] = field(default_factory=dict)
    metric: str | None = None
    members: Sequence[tuple[str, float, Mapping[str, Any]]] = ()
    validation: Mapping[str, float] = field(default_factory=dict)
    holdout: Mapping[str, float] = field(default_factory=dict)
    intervals: Mapping[str, Interval] = field(default_factory=dict)
    interval_level: float = 0.95
    baselines: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    gains: Mapping[str, tuple[float, float, float]] = field(default_factory=dict)
    has_signal: bool | None = None
    threshold: float | None = None
    threshold_rule: str | None = None
    refit_on_all: bool | None = None
    limits: Sequence[str] = ()

    def render(self) -> str:
        """The card in GitHub's Markdown; the warning, where there is one, comes before everything else."""
        parts = {
            "Model details": sections.details(self),
            "Intended use": sections.INTENDED_USE,
            "Data": sections.data(self),
            "Tuning": sections.tuning(self),
            "Metrics": sections.metrics(self),
            "Decision threshold": sections.threshold(self),
            "Factors and ethical considerations": sections.FACTORS,
            "Limits": sections.limits(self),
            "How to load it": sections.loading(self),
        }
        version = "" if self.version is None else f", version {text(self.version)}"
        warning = sections.NO_SIGNAL if self.has_signal is False else ""
        titled = [f"## {name}\n\n{body}" for name, body in parts.items() if body]
        return join(f"# {text(self.name)}{version}", warning, *titled) + "\n"
