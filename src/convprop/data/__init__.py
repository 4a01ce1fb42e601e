"""Images and labels: from arrays, idx files, .npz files, image folders and named sets."""

from convprop.data.dataset import Dataset, Split
from convprop.data.reading import read_images
from convprop.data.sources import load

__all__ = ["Dataset", "Split", "load", "read_images"]
