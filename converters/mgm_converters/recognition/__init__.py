"""From names and shapes of arrays to an architecture, a method and an input.

==================  ==============================================================================
question            file
==================  ==============================================================================
which encoder?      :mod:`recognise` finds every known spelling in a table of names, :mod:`copies`
                    chooses among copies, :mod:`select` does both for a whole file; :mod:`nearest`
                    is the answer where no spelling fits
which network?      :mod:`architecture`, from the shapes of its weights; :mod:`positions` tells
                    fixed positions from learned ones
who says how it     :mod:`said` the user; :mod:`stated` the file, in texts meant for us;
was trained?        :mod:`trainings` the file, in its training's own settings; :mod:`config` the
                    settings of Hugging Face and timm beside it; :mod:`identify` its names, heads
                    and keys (a guess of the method); :mod:`provenance` its spelling (a guess of
                    input and kind of training where no method is known)
what is it then?    :mod:`decide` weighs these, the surest first
==================  ==============================================================================
"""
