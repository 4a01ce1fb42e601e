"""Training: the steps, what they are given, and what is kept and told of them."""

from convprop.training.records import BatchRecord, EpochRecord, History
from convprop.training.training import train

__all__ = ["BatchRecord", "EpochRecord", "History", "train"]
