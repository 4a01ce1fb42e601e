"""Find good settings with scikit-learn's grid search, in two processes.

    python examples/grid_search.py

Writes grid_search.svg, the table of what was found, into the current folder.
"""

import numpy as np
from sklearn.datasets import load_digits
from sklearn.model_selection import GridSearchCV, train_test_split

from convprop import Conv, ConvNetClassifier, Dense, Dropout, MaxPool, ReLU
from pictures import table

X, y = load_digits(return_X_y=True)
X = X.astype(np.float32)
X_train, X_test, y_train, y_test = train_test_split(X, y, random_state=0, stratify=y)


def layers(kernels: int) -> list:
    """Return a network with so many kernels in the first layer, and twice as many in the second."""
    first = [Conv(kernels, 3, padding=1), ReLU(), MaxPool(2)]
    return [*first, Conv(2 * kernels, 3, padding=1), ReLU(), Dropout(0.3), Dense(10)]


def main() -> None:
    """Search, show what was found, and measure the best on images that took no part."""
    rates, kernels = [3e-4, 1e-3, 3e-3, 1e-2], [4, 8, 16]
    networks = [layers(number) for number in kernels]
    search = GridSearchCV(
        ConvNetClassifier(epochs=15, batch_size=32, random_state=0),
        {"network": networks, "optimizer__learning_rate": rates},
        cv=3,
        n_jobs=2,
    )
    search.fit(X_train, y_train)
    scores = search.cv_results_["mean_test_score"].reshape(len(kernels), len(rates))
    print("kernels " + "".join(f"{rate:>9g}" for rate in rates))
    for number, row in zip(kernels, scores, strict=True):
        print(f"{number:>7} " + "".join(f"{score:>9.1%}" for score in row))
    best = search.best_params_
    print(f"\nbest: {best['network'][0]}, learning rate {best['optimizer__learning_rate']:g}")
    print(f"{search.score(X_test, y_test):.1%} of {len(X_test)} other images are right")
    table(
        "grid_search.svg",
        scores,
        rows=[f"{number} kernels" for number in kernels],
        columns=[f"{rate:g}" for rate in rates],
    )


if __name__ == "__main__":
    main()
