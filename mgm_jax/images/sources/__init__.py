"""Where images come from: each file opens one kind of source, ``open_source`` finds the kind.

``files`` holds folders and archives of image files, ``arrays``, ``idx`` and ``rows`` images packed
into arrays, ``tfds`` prepared data sets, ``digits`` and ``photo_patches`` what comes along.
"""
