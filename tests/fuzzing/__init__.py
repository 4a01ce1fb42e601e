"""What `tests/fuzz.py` consists of: inputs of each kind, and what tries them."""
