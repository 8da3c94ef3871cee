"""Names of types that a checkpoint may hold beside its weights, all of them inert.

Training code stores its command line, its settings and whole modules. None of these types is ever
imported or called here; an :class:`Inert` stands in for each, so any of them would be harmless.
What is refused are names that only a file made to do harm has a use for, or that stand for weights
which would be lost without a word.
"""

from __future__ import annotations

import sys

# Of the standard library and NumPy these alone.
HARMLESS_TYPES = (
    "argparse.Namespace",
    "types.SimpleNamespace",
    "types.MappingProxyType",
    "pathlib.PosixPath",
    "pathlib.WindowsPath",
    "pathlib.PurePosixPath",
    "pathlib.PureWindowsPath",
    "pathlib._local.PosixPath",
    "pathlib._local.WindowsPath",
    "collections.defaultdict",
    "collections.deque",
    "collections.Counter",
    "builtins.dict",
    "builtins.list",
    "builtins.tuple",
    "builtins.set",
    "builtins.frozenset",
    "builtins.int",
    "builtins.float",
    "builtins.str",
    "builtins.bool",
    "builtins.bytes",
    "builtins.complex",
    "builtins.object",
    "builtins.slice",
    "builtins.range",
    "copyreg._reconstructor",
    "_codecs.encode",
    "datetime.datetime",
    "datetime.date",
    "datetime.timedelta",
    "datetime.timezone",
    "decimal.Decimal",
    "fractions.Fraction",
    "uuid.UUID",
    "typing.Any",
    "typing.Union",
    "typing.Optional",
    "functools.partial",
    "random.Random",
    "numpy.dtype",
    "numpy.ndarray",
    "numpy.core.multiarray.scalar",
    "numpy.core.multiarray._reconstruct",
    "numpy._core.multiarray.scalar",
    "numpy._core.multiarray._reconstruct",
    "numpy._core.numeric._frombuffer",
    "numpy.core.numeric._frombuffer",
    "numpy.random._pickle.__randomstate_ctor",
    "numpy.random._pickle.__generator_ctor",
    "numpy.random._pickle.__bit_generator_ctor",
    "numpy.random.mtrand.RandomState",
)

# Dictionaries of other libraries; they become ordered ones, which PyTorch's reader can fill.
DICTIONARIES = (
    "collections.defaultdict",
    "easydict.EasyDict",
    "addict.addict.Dict",
    "addict.Dict",
    "attrdict.dictionary.AttrDict",
    "munch.Munch",
    "box.box.Box",
    "yacs.config.CfgNode",
    "fvcore.common.config.CfgNode",
    "mmcv.utils.config.ConfigDict",
    "mmengine.config.config.ConfigDict",
    "pytorch_lightning.utilities.parsing.AttributeDict",
    "lightning.pytorch.utilities.parsing.AttributeDict",
    "lightning_fabric.utilities.data.AttributeDict",
    "lightning.fabric.utilities.data.AttributeDict",
    "torch.nn.modules.container.ModuleDict",
    "classy_vision.generic.util.AttrDict",
)

# Libraries whose functions may stand beside weights, as activations of a module do.
_FUNCTIONS = ("torch.nn.", "torch._C._nn.", "timm.", "torchvision.", "omegaconf.", "enum.")
# Of PyTorch: tensors of other kinds, whose values would be lost, and ways to load and to run.
_REFUSED = (
    "torch._",
    "torch.distributed",
    "torch.package",
    "torch.jit",
    "torch.serialization",
    "torch.storage",
    "torch.hub",
    "torch.utils",
    "torch.multiprocessing",
    "torch.testing",
    "torch.fx",
    "torch.library",
    "torch.ops",
    "torch.sparse",
    "torch.nested",
)


def is_harmless(name: str) -> bool:
    """Whether a file may name this, ``module.name``; an inert stand-in takes its place.

    That is a class of the user's own or of a library (by its capital), never a function, nothing
    of the standard library but :data:`HARMLESS_TYPES`, and none of PyTorch's own tensors.

    >>> is_harmless("omegaconf.dictconfig.DictConfig"), is_harmless("__main__.Options")
    (True, True)
    >>> is_harmless("os.system"), is_harmless("subprocess.Popen"), is_harmless("mine.run")
    (False, False, False)
    """
    if name in HARMLESS_TYPES or name in DICTIONARIES or name.startswith(_FUNCTIONS):
        return True
    module, _, last = name.rpartition(".")
    root = module.partition(".")[0]
    if not module or root in sys.stdlib_module_names or root in ("__builtin__", "nt"):
        return False
    # Nested classes are named Outer.Inner, functions in them Outer.function.
    return not name.startswith(_REFUSED) and last[:1].isupper()
