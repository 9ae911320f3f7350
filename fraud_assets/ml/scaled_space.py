"""Fitting rows where distances mean something."""

import numpy as np


class ScaledSpace:
    """Encoded rows, imputed and scaled.

    Scaling is by the standard deviation alone and in float64, so that a value that SMOTE leaves alone comes back as the
    same float32; were a 0 to come back as 1e-9, a tree would tell made-up rows by it.

    Attributes:
        codes: the discrete columns, shape (rows, discrete columns), float64; missing is a code of its own.
        quantities: the other columns, scaled, the median where a value is missing; then, for each that has missing
            values, whether it is missing, 0 or 1: so made-up rows lack values as often as the rows they are made from.
    """

    def __init__(self, X: np.ndarray, discrete: np.ndarray) -> None:
        from sklearn.impute import SimpleImputer
        from sklearn.preprocessing import StandardScaler

        self._discrete = discrete
        codes = X[:, discrete].astype(np.float64)
        self._missing_code = np.nanmax(codes, axis=0, initial=-1) + 1
        self.codes = np.where(np.isnan(codes), self._missing_code, codes)
        self.quantities = X[:, ~discrete].astype(np.float64)
        missing = np.isnan(self.quantities)
        self._with_missing = missing.any(axis=0)
        self._scaler = StandardScaler(with_mean=False)
        if not discrete.all():
            imputer = SimpleImputer(strategy="median", keep_empty_features=True)
            scaled = self._scaler.fit_transform(imputer.fit_transform(self.quantities))
            self.quantities = np.hstack([scaled, missing[:, self._with_missing]])

    @property
    def rows(self) -> np.ndarray:
        """Codes and quantities side by side."""
        return np.hstack([self.codes, self.quantities])

    def distances(self) -> np.ndarray:
        """The rows with each code as a column of its own: two different codes are equally far apart."""
        return self.distances_of(self.rows)

    def distances_of(self, rows: np.ndarray) -> np.ndarray:
        """The same of other rows of codes and quantities, whose codes occur in these."""
        from sklearn.preprocessing import OneHotEncoder

        codes, quantities = np.split(rows, [self.codes.shape[1]], axis=1)
        if not self._discrete.any():
            return quantities
        return np.hstack([OneHotEncoder(sparse_output=False).fit(self.codes).transform(codes), quantities])

    def original(self, rows: np.ndarray) -> np.ndarray:
        """Rows of codes and quantities as the columns of the data, shape (rows, columns), float32."""
        values = np.empty((len(rows), len(self._discrete)), dtype=np.float32)
        codes, quantities, missing = np.split(rows, [self.codes.shape[1], len(self._discrete)], axis=1)
        values[:, self._discrete] = np.where(codes == self._missing_code, np.nan, codes)
        if len(rows) and not self._discrete.all():
            quantities = self._scaler.inverse_transform(quantities)
            quantities[:, self._with_missing] = np.where(missing > 0.5, np.nan, quantities[:, self._with_missing])
            values[:, ~self._discrete] = quantities
        return values
