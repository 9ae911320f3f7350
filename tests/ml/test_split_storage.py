from dataclasses import replace

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from fraud_assets.ml.schema import DataError
from fraud_assets.ml.split import Split, SplitSettings
from tests.ml.tables import of_cards, split_by_group


def test_a_split_comes_back_from_parquet_as_it_was() -> None:
    dataset = of_cards()
    split = split_by_group(dataset, SplitSettings(folds=11, seed=3))
    sink = pa.BufferOutputStream()
    pq.write_table(split.to_arrow(), sink)

    back = Split.from_arrow(pq.read_table(pa.BufferReader(sink.getvalue())), dataset)

    assert np.array_equal(back.roles, split.roles)
    assert (back.settings, back.data_version, back.version) == (split.settings, split.data_version, split.version)
    # fold_10 comes after fold_9, not after fold_1.
    assert all(set(split.roles[validate]) == {f"fold_{i}"} for i, (_, validate) in enumerate(back.folds()))


def test_a_split_of_other_data_is_refused() -> None:
    stored = split_by_group(of_cards(version="old"), SplitSettings()).to_arrow()
    with pytest.raises(DataError, match=r"data version old, but raw_dataset is now new: materialize dataset_split"):
        Split.from_arrow(stored, of_cards(version="new"))


def test_the_version_follows_the_roles_and_the_data() -> None:
    def version(data: str = "v1", **settings: float) -> str:
        return split_by_group(of_cards(version=data), SplitSettings(**settings)).version  # type: ignore[arg-type]

    assert version() == version() == version(validation_fraction=0.3)
    assert len({version(), version("v2"), version(seed=1), version(folds=4), version(holdout_fraction=0.1)}) == 5


def test_the_version_follows_each_rows_role_and_fits_alone() -> None:
    split = split_by_group(of_cards(), SplitSettings(folds=2))
    roles, fits = split.roles.copy(), split.fits.copy()
    roles[np.flatnonzero(roles == "fold_1")[-1]] = "fold_0"
    fits[-1, 0] = not fits[-1, 0]
    renamed = np.where(split.roles == "fold_1", "left_out", split.roles).astype(object)

    others = [replace(split, roles=roles), replace(split, fits=fits), replace(split, roles=renamed)]
    assert len({split.version, *(other.version for other in others)}) == 4
