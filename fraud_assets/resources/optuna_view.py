"""A search as an Optuna study that people watch, in a storage of theirs.

The study is a view. The search itself keeps its study in memory and goes on from the journal in the object store:

- A storage that is away holds up no trial and loses none. What it missed is written when it is back, at the end at the
  latest, or by the run that goes on with the search.
- A study that Optuna itself suggested from would have to be made to agree with the journal after each crash: a trial
  that ended in one of the two only would be fitted again, or never. Here the journal is told first, and where the two
  differ it is right.
- What people do in the storage, delete the study say, changes no search.
"""

import logging
import math
import queue
import threading
import time
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from fraud_assets.ml.evaluate import Objective
from fraud_assets.ml.optuna_study import constants, directions, on_the_way, outcome, suggested
from fraud_assets.ml.search_space import SearchSpace
from fraud_assets.resources.optuna_storage import OpenStorage, explained, reason
from fraud_assets.resources.trials import TrialListener, TrialRecord

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution
    from optuna.trial import TrialState

_LOG = logging.getLogger(__name__)
_TOKEN = "experiment_token"
_TRIAL_ID = "trial_id"
_INTERRUPTED = "interrupted"
_RETRY_AFTER_S = 5.0
# After the last trial: for a storage that is away, and for one that hangs.
_WAIT_AT_THE_END_S = 30.0
_LEAVE_AFTER_S = 45.0
_LEAVE_AFTER_ERROR_S = 5.0


@dataclass(frozen=True)
class Watched:
    """What a study says of the search that it shows.

    Attributes:
        name: of the experiment, and so of the study.
        token: the experiment's and no other's.
        attributes: user attributes of the study.
        objectives: what the search improves.
        space: what its trials are suggested by.
    """

    name: str
    token: str
    attributes: Mapping[str, str]
    objectives: Sequence[Objective]
    space: SearchSpace


@contextmanager
def watched_study(
    opened: OpenStorage | None, watched: Watched, ended: Sequence[TrialRecord], log: logging.Logger
) -> Iterator[list[TrialListener]]:
    """Show a search in a storage, and hear of its trials; no listener where there is no storage.

    The study of an earlier run of the same search is gone on with. Trials that are RUNNING in it become FAIL, with the
    user attribute `interrupted`: the search starts them again as new ones. Those that have `ended` and are missing are
    added.
    Leaving the context ends what is RUNNING, waits for a storage that is away, and warns of what it lacks.

    Args:
        opened: the storage.
        watched: the search.
        ended: its trials that ended in earlier runs.
        log: of the step.

    Raises:
        OptunaStorageError: the storage refused the study.
    """
    if opened is None:
        yield []
        return
    view = explained(opened.place, lambda: _StudyView(opened, watched, ended))
    log.info(f"Optuna study {opened.study_name} in {opened.place}")
    waits = 0.0, _LEAVE_AFTER_ERROR_S
    try:
        yield [view]
        waits = _WAIT_AT_THE_END_S, _LEAVE_AFTER_S
    finally:
        lacking = view.close(*waits)
        if lacking is not None:
            log.warning(
                f"the Optuna study {opened.study_name} in {opened.place} is not up to date ({lacking}); the search "
                "is not touched by that"
            )


class _StudyView:
    """Listens to trials and writes them into a study, in a thread of its own: nobody waits for the storage."""

    def __init__(self, opened: OpenStorage, watched: Watched, ended: Sequence[TrialRecord]) -> None:
        self._storage = opened.storage
        self._place = opened.place
        self._watched = watched
        self._study_id, opened.study_name = _study(opened, watched)
        # All that is known of the search, and what of it may be missing in the storage.
        self._trials = {trial.trial_id: trial for trial in ended}
        self._pending: dict[str, TrialRecord] = {}
        # Optuna's ids of the trials in the study, None for those that have ended; unknown, so None, after an error.
        self._ids: dict[str, int | None] | None = None
        self._read()
        self._write()
        self._failure: str | None = None
        self._not_before = 0.0
        self._patience_s = 0.0
        self._events: queue.Queue[TrialRecord | None] = queue.Queue()
        self._thread = threading.Thread(target=self._work, name="optuna-study", daemon=True)
        self._thread.start()

    def trial_started(self, trial: TrialRecord) -> None:
        """RUNNING from now on."""
        self._events.put(trial)

    def trial_ended(self, trial: TrialRecord) -> None:
        """COMPLETE, PRUNED or FAIL from now on."""
        self._events.put(trial)

    def close(self, patience_s: float, leave_after_s: float) -> str | None:
        """End what has not ended, and stop.

        Args:
            patience_s: for a storage that is away.
            leave_after_s: for one that neither answers nor refuses.

        Returns:
            Why the study is not up to date; None if it is.
        """
        self._patience_s = patience_s
        self._events.put(None)
        self._thread.join(leave_after_s)
        return f"no answer within {leave_after_s:.0f} s" if self._thread.is_alive() else self._failure

    def _work(self) -> None:
        while (trial := self._events.get()) is not None:
            self._note(trial)
            if time.monotonic() >= self._not_before:
                self._try()
        for trial in list(self._trials.values()):
            if trial.status == "running":
                self._note(replace(trial, status="stopped"))
        give_up = time.monotonic() + self._patience_s
        self._try()
        while self._failure is not None and time.monotonic() + _RETRY_AFTER_S < give_up:
            time.sleep(_RETRY_AFTER_S)
            self._try()

    def _note(self, trial: TrialRecord) -> None:
        self._trials[trial.trial_id] = self._pending[trial.trial_id] = trial

    def _try(self) -> None:
        try:
            if self._ids is None:
                self._read()
            self._write()
        except Exception as error:  # noqa: BLE001 - the search goes on without it, and tells of it at the end
            # A change whose answer was lost may have been made: what is in the study has to be read.
            self._ids = None
            self._not_before = time.monotonic() + _RETRY_AFTER_S
            told = reason(error)
            if told != self._failure:
                _LOG.warning("the Optuna storage %s: %s; the search goes on, and is written later", self._place, told)
            self._failure = told
        else:
            self._failure = None

    def _read(self) -> None:
        """What the study has, what it lacks, and an end for trials that nobody works on any more."""
        found = {
            trial.user_attrs[_TRIAL_ID]: trial
            for trial in self._storage.get_all_trials(self._study_id, deepcopy=False)
            if _TRIAL_ID in trial.user_attrs
        }
        for trial_id, trial in found.items():
            if trial_id not in self._trials and not trial.state.is_finished():
                self._end(trial._trial_id, TrialRecord(trial_id, {}, "stopped"))
        self._ids = {
            trial_id: None if trial.state.is_finished() else trial._trial_id for trial_id, trial in found.items()
        }
        self._pending = dict(self._trials)

    def _write(self) -> None:
        """Make and end trials until nothing is pending."""
        assert self._ids is not None
        for trial_id, trial in list(self._pending.items()):
            running = trial.status == "running"
            if trial_id not in self._ids:
                created = self._create(trial)
                self._ids[trial_id] = created if running else None
            elif not running and (number := self._ids[trial_id]) is not None:
                self._end(number, trial)
                self._ids[trial_id] = None
            del self._pending[trial_id]

    def _end(self, number: int, trial: TrialRecord) -> None:
        """End a RUNNING trial; its state comes last, as nothing of it can change afterwards."""
        state, values, way, attributes = self._outcome(trial)
        for name, value in attributes.items():
            self._storage.set_trial_user_attr(number, name, value)
        for rounds, score in way.items():
            self._storage.set_trial_intermediate_value(number, rounds, score)
        self._storage.set_trial_state_values(number, state, values)

    def _create(self, trial: TrialRecord) -> int:
        try:
            return self._create_with(trial, suggested(self._watched.space, trial.params))
        except ValueError:
            # The space is another one than when this trial, or one before it, was suggested.
            return self._create_with(trial, {})

    def _create_with(self, trial: TrialRecord, ranges: "Mapping[str, BaseDistribution]") -> int:
        """Add the trial to the study as it is; what has no range is in its user attribute `constants`."""
        from optuna.trial import create_trial

        state, values, way, attributes = self._outcome(trial)
        own = {_TRIAL_ID: trial.trial_id, "name": trial.name, **constants(trial.params, ranges)}
        frozen = create_trial(
            state=state,
            values=values,
            intermediate_values=way,
            params={name: trial.params[name] for name in ranges},
            distributions=dict(ranges),
            user_attrs={**own, **attributes},
        )
        at = datetime.fromtimestamp(trial.at / 1000)
        if state.is_finished():
            frozen.datetime_complete = at
        frozen.datetime_start = at - timedelta(seconds=trial.seconds or 0)
        return int(self._storage.create_new_trial(self._study_id, frozen))

    def _outcome(self, trial: TrialRecord) -> "tuple[TrialState, list[float] | None, dict[int, float], dict[str, Any]]":
        """State, values, scores on the way, and the user attributes that tell of the end."""
        scores = [trial.metrics.get(objective, math.nan) for objective in self._watched.objectives]
        attributes: dict[str, Any] = {}
        if trial.metrics:
            attributes["metrics"] = {name: value for name, value in trial.metrics.items() if math.isfinite(value)}
        if trial.error:
            attributes["error"] = trial.error.splitlines()[0]
        if trial.status == "stopped":
            attributes[_INTERRUPTED] = True
        state, values = outcome(trial.status, scores)
        return state, values, on_the_way(trial.status, trial.metrics.get("rounds", 0), scores), attributes


def _study(opened: OpenStorage, watched: Watched) -> tuple[int, str]:
    """Id and name of the experiment's study, which is made if there is none.

    Another experiment may have its name: that of a storage that was emptied, or of another one. Then the study's name
    ends in a piece of the experiment's token.
    """
    import optuna

    storage = opened.storage
    owners: dict[str, str | None] = {}
    for name in (watched.name, f"{watched.name}-{watched.token[:8]}"):
        try:
            owners[name] = storage.get_study_user_attrs(storage.get_study_id_from_name(name)).get(_TOKEN, "")
        except KeyError:
            owners[name] = None
    own = [name for name, owner in owners.items() if owner == watched.token]
    free = [name for name, owner in owners.items() if owner is None]
    if not own and not free:
        raise ValueError(f"it has a study {watched.name} of somebody else's")
    name = (own or free)[0]
    study = optuna.create_study(
        storage=storage, study_name=name, directions=directions(watched.objectives), load_if_exists=True
    )
    for key, value in {_TOKEN: watched.token, **watched.attributes}.items():
        study.set_user_attr(key, value)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        study.set_metric_names(list(watched.objectives))
    return storage.get_study_id_from_name(name), name
