"""From names and shapes of arrays to an architecture, a method and an input.

==================  ==============================================================================
question            file
==================  ==============================================================================
which encoder?      :mod:`spelling` finds every known spelling in a table of names and divides the
                    names, :mod:`copies` chooses among copies, :mod:`select` does both for a whole
                    file; :mod:`nearest` is the answer where no spelling fits
which network?      :mod:`architecture`, from the shapes of its weights; :mod:`positions` tells
                    fixed positions from learned ones, :mod:`classifier` finds the head beside it
who says how it     :mod:`evidence`, a file a source
was trained?
what is it then?    :mod:`decide` hears them, the surest first
==================  ==============================================================================

A *spelling* is how names are written; a *statement* is said outright, by the user or in the file;
*settings* lie beside the weights; *traces* are what a method leaves in names and keys; a *guess* is
what remains.
"""
