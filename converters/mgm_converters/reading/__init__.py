"""Files to arrays: safe readers of every format, downloads, wrappers taken off."""
