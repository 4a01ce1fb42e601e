"""The explorer: a page that shows every number of a network, forward and back, served locally.

``Network.explore`` and ``convprop explore`` open it. The page's own modules are in ``page/``.
"""
