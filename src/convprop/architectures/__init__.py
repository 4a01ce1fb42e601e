"""The networks of papers, as lists of layers: a file a family."""
