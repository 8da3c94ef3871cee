"""The methods, one a file, by the name of that file."""

from benchmarks.zoo.methods.barlow_twins import BarlowTwins
from benchmarks.zoo.methods.byol import BYOL
from benchmarks.zoo.methods.dino import DINO
from benchmarks.zoo.methods.mae import MAE
from benchmarks.zoo.methods.method import Batch, Method, Outcome
from benchmarks.zoo.methods.moco import MoCo
from benchmarks.zoo.methods.simclr import SimCLR
from benchmarks.zoo.methods.simsiam import SimSiam
from benchmarks.zoo.methods.supervised import Supervised
from benchmarks.zoo.methods.swav import SwAV
from benchmarks.zoo.methods.untrained import Untrained
from benchmarks.zoo.methods.vicreg import VICReg

METHODS: dict[str, Method] = {
    "simclr": SimCLR(),
    "moco": MoCo(),
    "byol": BYOL(),
    "simsiam": SimSiam(),
    "barlow_twins": BarlowTwins(),
    "vicreg": VICReg(),
    "swav": SwAV(),
    "dino": DINO(),
    "mae": MAE(),
    "supervised": Supervised(),
    "untrained": Untrained(),
}

__all__ = ["METHODS", "Batch", "Method", "Outcome"]
