"""Files to arrays: safe readers of every format, downloads, wrappers taken off.

A source becomes a file (``source``, ``download``), the file its content (``read``, which asks
``kinds`` what it is and goes to one reader a format: ``pickle_scan`` and ``restricted_pickle``,
``torchscript``, ``haiku_pickle``, ``jax_files``, ``shards``, ``partitioned``), and the content the
tensors of a model (``wrappers``, ``unwrap``). ``limits`` says how much it may unfold to and
``harmless`` which names a pickle may call.
"""
