"""Image files in folders and archives: listed, named, sorted into classes, read and checked.

``folder``, ``zip_archive`` and ``tar_archive`` list files; ``layout`` finds splits and classes in
their paths, ``names`` makes ids of them, ``listing`` makes the source, the same for all three.
"""
