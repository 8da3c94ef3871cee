"""Every kernel through the compilers of a TPU v5e and an H200, at small shapes.

``make compile-only`` has an environment with these compilers; elsewhere all of this is skipped.
What a kernel does not keep yet stands in :data:`KNOWN` with the reason, and its test has to fail.
"""

from __future__ import annotations

ON = ("v5e", "H200")
