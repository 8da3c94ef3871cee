"""From the bytes of one picture to uint8 RGB ``[h, w, 3]``, or to a reason why not.

``regular_file`` reads them from a file that is one, ``decode`` makes pixels of them: of the
``formats`` that are read, values deeper than eight bits by the rule of ``grey_depth``, and no
larger than the ``limits``, which sources of images ask too.
"""
