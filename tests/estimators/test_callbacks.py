"""scikit-learn's callbacks, where its version has them."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from blobs import blobs, classifier, regressor

callback = pytest.importorskip("sklearn.callback")


class Recorder:
    """Writes down what it is told."""

    def __init__(self, stop_after: int | None = None) -> None:
        self.events: list[str] = []
        self.scores: list[float] = []
        self.stop_after = stop_after

    def setup(self, estimator, context):
        self.events.append(f"setup {context.task_name} {context.max_subtasks}")

    def teardown(self, estimator, context):
        self.events.append(f"teardown {context.task_name}")

    def on_fit_task_begin(self, estimator, context):
        self.events.append(f"begin {context.task_name}")

    def on_fit_task_end(self, estimator, context, *, X, y, metadata, fitted_estimator):
        self.events.append(f"end {context.task_name}")
        if fitted_estimator is not None:
            self.scores.append(fitted_estimator.score(X, y))
        self.metadata = metadata
        return context.task_name == f"epoch {self.stop_after}"


@pytest.mark.parametrize("make", [classifier, regressor])
def test_a_task_for_each_epoch(make):
    images, _ = blobs()
    y = np.arange(60) % 3
    recorder, weights = Recorder(), np.ones(60)
    estimator = make(epochs=3).set_callbacks(recorder).fit(images, y, sample_weight=weights)
    assert recorder.events == [
        "setup fit 3",
        "begin fit",
        *(f"{what} epoch {n}" for n in (1, 2, 3) for what in ("begin", "end")),
        "end fit",
        "teardown fit",
    ]
    assert len(recorder.scores) == 4
    assert recorder.scores[-1] == recorder.scores[-2] == estimator.score(images, y)
    assert recorder.metadata["sample_weight"] is weights


def test_what_a_callback_sees_is_the_network_of_that_epoch():
    images, y = blobs()
    recorder = Recorder()
    fitted = classifier(epochs=30, learning_rate_init=0.01).set_callbacks(recorder).fit(images, y)
    assert recorder.scores[0] < 0.9 < recorder.scores[-1]
    assert fitted.n_iter_ == 30


def test_a_callback_may_end_the_training():
    images, y = blobs()
    recorder = Recorder(stop_after=2)
    fitted = classifier(epochs=9).set_callbacks(recorder).fit(images, y)
    assert fitted.n_iter_ == 2
    assert recorder.events[-3:] == ["end epoch 2", "end fit", "teardown fit"]


def test_early_stopping_leaves_no_task_open():
    images, y = blobs()
    recorder = Recorder()
    fitted = classifier(epochs=50, early_stopping=True, tol=1.0, n_iter_no_change=2)
    fitted.set_callbacks(recorder).fit(images, y)
    assert fitted.n_iter_ < 50
    begun = [event[6:] for event in recorder.events if event.startswith("begin")]
    ended = [event[4:] for event in recorder.events if event.startswith("end")]
    assert sorted(begun) == sorted(ended)


def test_a_fit_that_fails_tears_down():
    images, y = blobs()
    recorder = Recorder()
    with pytest.raises(ValueError, match="clip_norm must"):
        classifier(clip_norm=-1).set_callbacks(recorder).fit(images, y)
    assert recorder.events[-1] == "teardown fit"


@pytest.mark.slow
def test_scikit_learns_own_callbacks():
    pytest.importorskip("rich")
    script = """
import sys
sys.path.insert(0, sys.argv[1])
from blobs import blobs, classifier
from sklearn.callback import ProgressBar, ScoringMonitor
from sklearn.model_selection import GridSearchCV

images, y = blobs()
monitor = ScoringMonitor(scoring="accuracy")
net = classifier(epochs=3).set_callbacks(monitor)
net.fit(images, y)
log = monitor.get_logs()
print([round(entry["accuracy"], 4) for entry in log.data], net.score(images, y))
search = GridSearchCV(classifier(epochs=2), {"alpha": [None]}, cv=2)
search.set_callbacks(ProgressBar(max_propagation_depth=None)).fit(images, y)
"""
    here = str(Path(__file__).parent)
    result = subprocess.run(
        [sys.executable, "-c", script, here], capture_output=True, text=True, check=False
    )
    assert result.stderr == ""
    assert result.returncode == 0
    assert "ConvNetClassifier" in result.stdout
