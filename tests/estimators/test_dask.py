"""A grid search on a local Dask cluster: the same call, and the same result, as without."""

import os
from pathlib import Path

import joblib
import numpy as np
import pytest
from blobs import blobs, classifier, process
from sklearn.model_selection import GridSearchCV

pytestmark = pytest.mark.slow

distributed = pytest.importorskip("distributed", reason="the extra dask is not installed")


@pytest.fixture
def cluster(monkeypatch, tmp_path):
    """Return a client of two processes of one thread each, on this machine alone."""
    here = str(Path(__file__).parent)
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([here, os.environ.get("PYTHONPATH", "")]))
    with (
        distributed.LocalCluster(
            n_workers=2,
            threads_per_worker=1,
            host="127.0.0.1",
            dashboard_address=None,
            local_directory=str(tmp_path),
        ) as cluster,
        distributed.Client(cluster) as client,
    ):
        yield client


@pytest.mark.filterwarnings("default::ResourceWarning")
def test_grid_search_on_a_cluster(cluster):
    images, y = blobs()
    search = GridSearchCV(
        classifier(epochs=10),
        {"optimizer__learning_rate": [0.01, 0.001], "epochs": [2, 10]},
        scoring={"accuracy": "accuracy", "process": process},
        refit="accuracy",
        cv=3,
    )
    with joblib.parallel_backend("dask"):
        search.fit(images, y)
    there = search.cv_results_, search.best_estimator_.network_.weights_sha256()
    search.fit(images, y)
    assert np.array_equal(there[0]["mean_test_accuracy"], search.cv_results_["mean_test_accuracy"])
    assert there[1] == search.best_estimator_.network_.weights_sha256()
    workers = set(cluster.run(os.getpid).values())
    assert {there[0][f"split{n}_test_process"][c] for n in range(3) for c in range(4)} <= workers
    threads = cluster.run(lambda: __import__("convprop").get_num_threads())
    assert list(threads.values()) == [1, 1]
