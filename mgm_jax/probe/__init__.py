"""Probes: what labels say about embeddings.

``linear`` and ``ridge`` fit classifiers, ``knn`` lets the nearest vote, ``few_shot`` tells
class means apart; ``transfer_scores`` gathers the scores
that need no training (LogME, H-score, GBC, TransRate, LEEP, NCE). ``features`` reads from files and
stores, block by block, what a linear or ridge probe does not hold in memory.
"""
