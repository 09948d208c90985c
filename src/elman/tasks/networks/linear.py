"""Linear models over many sparse features: of one label, of several labels, or of a number.

Each is fitted for several strengths, scikit-learn's `C`: the larger, the less are weights held
back. Where there are fewer texts than features, all weights lie in the span of the texts; then
that is where they are sought (`Span`), which takes a fraction of the time and finds the same.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional

Numbers = NDArray[Any]
Fits = list[tuple[Numbers, Numbers]]  # weights (features, outputs) and biases (outputs,)

ROWS = 4096  # texts whose span is used, at most: it takes their square
LARGE = 1 << 19  # weights, at least, for which it pays
JITTER = 1e-6  # what keeps equal texts apart; a text's product with itself is 1
ITERATIONS = 200


class Span:
    """The span of the rows of a sparse matrix (B, features).

    >>> from scipy.sparse import csr_array
    >>> matrix = csr_array(np.array([[1.0, 0.0, 0.0], [0.6, 0.8, 0.0]]))
    >>> rows, back = Span(matrix).of(np.array([True, True]))
    >>> np.allclose(rows @ [[1.0], [2.0]], matrix @ back(np.array([[1.0], [2.0]])), atol=1e-5)
    True
    """

    def __init__(self, matrix: Any) -> None:
        self.matrix = matrix
        self.products = (matrix @ matrix.T).toarray()

    @staticmethod
    def pays(matrix: Any, outputs: int) -> bool:
        """Whether fits of so many outputs are faster this way."""
        rows, features = matrix.shape
        return rows <= ROWS and 2 * rows <= features and outputs * features >= LARGE

    def of(self, rows: Numbers) -> tuple[Numbers, Callable[[Numbers], Numbers]]:
        """Some rows in coordinates of their span; and what makes features' weights of weights."""
        from scipy.linalg import solve_triangular

        products = self.products[np.ix_(rows, rows)].astype(np.float64)
        products[np.diag_indices_from(products)] += JITTER
        lower = np.linalg.cholesky(products)
        chosen = self.matrix[rows]

        def back(weight: Numbers) -> Numbers:
            return np.asarray(chosen.T @ solve_triangular(lower, weight, trans="T", lower=True))

        return lower, back


def regress_label(
    matrix: Any, targets: Numbers, counted: Numbers, strengths: Sequence[float]
) -> Fits:
    """Logistic regressions of one label, (B,) numbers, a fit for each strength.

    `counted` (labels,) says how much a text of each label counts.
    """
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression

    there = np.unique(targets)
    model = LogisticRegression(max_iter=ITERATIONS, warm_start=True)
    fits = []
    for strength in strengths:
        weight = np.zeros((matrix.shape[1], len(counted)), np.float32)
        bias = np.full(len(counted), -np.log(1 + len(targets)), np.float32)  # of a label unseen
        bias[there] = 0
        if len(there) > 1:
            with warnings.catch_warnings():
                # What isn't quite at its end is held back a little more.
                warnings.simplefilter("ignore", ConvergenceWarning)
                model.set_params(C=strength).fit(matrix, targets, counted[targets])
            half = [[-0.5, 0.5]] if len(there) == 2 else np.eye(len(there))
            weight[:, there], bias[there] = model.coef_.T @ half, model.intercept_ @ half
        fits.append((weight, bias))
    return fits


def regress_labels(
    matrix: Any, targets: Numbers, counted: Numbers, strengths: Sequence[float]
) -> Fits:
    """Logistic regressions of several labels, (B, labels) zeros and ones: each for itself."""
    from scipy.optimize import minimize
    from scipy.special import expit

    shape = (matrix.shape[1] + 1, targets.shape[1])  # the last row: biases
    found, transposed = np.zeros(shape), matrix.T
    share = (targets.sum(0) + 0.5) / (len(targets) + 1)
    found[-1] = np.log(share / (1 - share))

    def loss(flat: Numbers, strength: float) -> tuple[float, Numbers]:
        weight = flat.reshape(shape)
        scores = matrix @ weight[:-1] + weight[-1]
        total = (np.logaddexp(0, scores) - targets * scores) @ counted
        slope = (expit(scores) - targets) * counted
        held = 0.5 / strength * float((weight[:-1] ** 2).sum())
        gradient = np.concatenate([transposed @ slope + weight[:-1] / strength, [slope.sum(0)]])
        return float(total.sum()) + held, gradient.ravel()

    fits = []
    for strength in strengths:
        options = {"maxiter": ITERATIONS, "gtol": 1e-3}
        best = minimize(
            loss, found.ravel(), (strength,), method="L-BFGS-B", jac=True, options=options
        )
        found = best.x.reshape(shape)
        fits.append((found[:-1].astype(np.float32), found[-1].astype(np.float32)))
    return fits


def regress_number(matrix: Any, targets: Numbers, _: Numbers, strengths: Sequence[float]) -> Fits:
    """Ridge regressions of a number, (B,) or (B, 1)."""
    from sklearn.linear_model import Ridge

    fits = []
    for strength in strengths:
        weight, bias = np.zeros((matrix.shape[1], 1), np.float32), np.zeros(1, np.float32)
        if len(targets):
            model = Ridge(alpha=1 / strength).fit(matrix, targets.reshape(-1))
            weight[:, 0], bias[0] = model.coef_, model.intercept_
        fits.append((weight, bias))
    return fits


def _cross_entropy(scores: Numbers, targets: Numbers, counted: Numbers) -> float:
    weight = torch.from_numpy(counted).float()
    loss = functional.cross_entropy(torch.from_numpy(scores), torch.from_numpy(targets), weight)
    return float(loss)


def _binary(scores: Numbers, targets: Numbers, counted: Numbers) -> float:
    return float(((np.logaddexp(0, scores) - targets * scores) @ counted).mean())


def _square(scores: Numbers, targets: Numbers, _: Numbers) -> float:
    return float(((scores[:, 0] - targets.reshape(-1)) ** 2).mean())


class Linear(NamedTuple):
    """How a kind of targets is fitted: `fit(matrix, targets, counted, strengths)`.

    `loss(scores, targets, counted)` says how good scores (B, outputs) are, `strengths` what is
    tried.
    """

    fit: Callable[[Any, Numbers, Numbers, Sequence[float]], Fits]
    loss: Callable[[Numbers, Numbers, Numbers], float]
    strengths: Sequence[float] = (1.0, 4.0, 16.0, 64.0)


LABEL = Linear(regress_label, _cross_entropy)
LABELS = Linear(regress_labels, _binary)
NUMBER = Linear(regress_number, _square, (0.25, 1.0, 4.0, 16.0))
