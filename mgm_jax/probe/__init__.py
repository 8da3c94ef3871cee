"""Probes: what labels say about embeddings.

The way of a probe with penalties::

    sets --labelled_sets--> codes --logistic or ridge--> weights, a penalty each
    (train, validation,     (checked,                    |
     test; arrays, files)    one door)      scoring on validation --> the penalty --> test score

``linear`` and ``ridge`` are these two, their result is a ``path_result`` and their answers come by
``linear_answers``; ``knn`` lets the nearest vote, ``few_shot`` tells class means apart.
``labelled`` checks features and labels of every one of them, ``scoring`` is accuracy, mAP and R².
``features`` reads from files and stores, block by block, what a probe does not hold in memory.
``scores`` need no training (LogME, H-score, GBC, TransRate, LEEP, NCE).
"""
