"""What only the tables need takes most of a TPU's compiler's time: its dumps are off here."""

from __future__ import annotations

import os

os.environ.setdefault("LIBTPU_INIT_ARGS", "--xla_jf_dump_llo_text=false")
