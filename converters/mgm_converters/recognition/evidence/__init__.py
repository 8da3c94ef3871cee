"""Who says how an encoder was trained, the surest first; each gives an ``Evidence``.

===============  =================================================================================
:mod:`user`      what the user says outright (``--method``, ``--heads``, ``--mean``): a statement
:mod:`file`      what the file says outright, in texts meant for us: a statement
:mod:`training`  the same from the settings that a training kept in the file
:mod:`settings`  the settings of Hugging Face and timm, which lie beside the weights
:mod:`traces`    names, heads and keys that a method leaves behind: its likely methods, and the
                 published encoders by SHA-256 and by name of the file
:mod:`guesses`   where no method is known: input and kind of training from the spelling alone
===============  =================================================================================

:mod:`record` is the ``Evidence`` itself; :mod:`mgm_converters.recognition.decide` hears them.
"""
