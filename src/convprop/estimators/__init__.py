"""Convolutional networks as scikit-learn estimators.

Importing this package imports scikit-learn; ``import convprop`` alone does not.
"""

from convprop.auto import auto_layers, square_guess
from convprop.estimators.classifier import ConvNetClassifier
from convprop.estimators.regressor import ConvNetRegressor

__all__ = ["ConvNetClassifier", "ConvNetRegressor", "auto_layers", "square_guess"]
