"""Images that lie in the rows of tables, or that a table lists.

``fields`` says which columns hold image, label and id; ``parquet``, ``arrow``, ``hdf5`` and
``manifest`` are the kinds of table; ``shards`` finds the files of a set that is cut into several.
"""
