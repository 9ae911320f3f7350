"""Encoded rows where distances mean something, and the way back to the units of the data."""

import numpy as np


class ScaledSpace:
    """Encoded rows, scaled and imputed, in which neighbours can be looked for and rows can be made up.

    Scaling is by the standard deviation alone and in float64, so that a value that SMOTE leaves alone comes back as the
    same float32; were a 0 to come back as 1e-9, a tree would tell made-up rows by it.

    Attributes:
        codes: how many of the first columns of `rows` are codes.
        rows: the rows, float64, shape (rows, codes + other columns + other columns with missing values). First the
            discrete columns, where missing is a code of its own. Then the others, scaled, the median where a value is
            missing; then, for each that has missing values, whether it is missing, 0 or 1: so made-up rows lack values
            as often as the rows they are made from.
    """

    def __init__(self, X: np.ndarray, discrete: np.ndarray) -> None:
        """From encoded features, shape (rows, columns), NaN where missing, and which columns are codes, (columns,)."""
        from sklearn.impute import SimpleImputer
        from sklearn.preprocessing import OneHotEncoder, StandardScaler

        self._discrete = discrete
        self.codes = int(np.sum(discrete))
        codes = X[:, discrete].astype(np.float64)
        self._missing_code = np.nanmax(codes, axis=0, initial=-1) + 1
        codes = np.where(np.isnan(codes), self._missing_code, codes)
        quantities = X[:, ~discrete].astype(np.float64)
        missing = np.isnan(quantities)
        self._with_missing = missing.any(axis=0)
        self._scaler = StandardScaler(with_mean=False)
        if not discrete.all():
            imputer = SimpleImputer(strategy="median", keep_empty_features=True)
            scaled = self._scaler.fit_transform(imputer.fit_transform(quantities))
            quantities = np.hstack([scaled, missing[:, self._with_missing]])
        self.rows = np.hstack([codes, quantities])
        self._one_hot = OneHotEncoder(sparse_output=False)
        if self.codes:
            self._one_hot.fit(codes)

    def distances(self, rows: np.ndarray) -> np.ndarray:
        """Rows like `rows`, each code as a column of its own, the first ones: any two codes are equally far apart."""
        if not self.codes:
            return rows
        return np.hstack([self._one_hot.transform(rows[:, : self.codes]), rows[:, self.codes :]])

    def from_distances(self, points: np.ndarray) -> np.ndarray:
        """Points like those of `distances`, or between them, as rows like `rows`.

        Each column of codes gets the one that is largest at the point, the first of equals: a point between two rows
        has all its codes from the nearer one, never a fraction.
        """
        if not self.codes:
            return points
        categories = self._one_hot.categories_
        *shares, quantities = np.split(points, np.cumsum([len(codes) for codes in categories]), axis=1)
        columns = [codes[share.argmax(axis=1)] for codes, share in zip(categories, shares, strict=True)]
        return np.column_stack([*columns, quantities])

    def original(self, rows: np.ndarray) -> np.ndarray:
        """Rows like `rows` as the columns of the data, shape (rows, columns), float32."""
        values = np.empty((len(rows), len(self._discrete)), dtype=np.float32)
        codes, quantities, missing = np.split(rows, [self.codes, len(self._discrete)], axis=1)
        values[:, self._discrete] = np.where(codes == self._missing_code, np.nan, codes)
        if len(rows) and not self._discrete.all():
            quantities = self._scaler.inverse_transform(quantities)
            quantities[:, self._with_missing] = np.where(missing > 0.5, np.nan, quantities[:, self._with_missing])
            values[:, ~self._discrete] = quantities
        return values
