"""Where images come from: each file opens one kind of source, ``open_source`` finds the kind.

``files`` holds folders and archives of image files, ``tables`` what lies in rows or is listed by
them (``open_table`` finds the kind), ``arrays``, ``idx`` and ``rows`` images packed into arrays,
``datasets`` what a program holds, ``tfds`` prepared data sets, ``digits`` and ``photo_patches``
what comes along. ``contents`` makes a source of encoded pictures, wherever they lie.
"""
