"""What a vision transformer is, without its weights."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

from mgm_jax.encoders.spec.base import LOGITS, EncoderSpec, Family
from mgm_jax.encoders.spec.shapes import Shapes, affine, classifier, prefixed

Resize = Literal["bicubic", "antialias", "offset"]


@dataclass(frozen=True, kw_only=True)
class ViTSpec(EncoderSpec):
    """A pre-norm vision transformer (Dosovitskiy et al. 2021), in the forms that are published.

    Tokens stand in the order class, registers, patches (row by row). Register tokens join after
    the positions are added (Darcet et al. 2024). The input may have any size that the patch
    divides, also other than square: the stored positions are interpolated.

    Besides the blocks there are these taps:

    ===================  =====================================================================
    ``patch_embed``      the patches, before positions and class token
    ``norm_pre``         all tokens before the first block, normalised (where ``pre_norm``)
    ``norm``             all tokens behind the last block, normalised (where ``final_norm``)
    ``patch_mean``       mean of the patches of ``norm``
    ``cls_last4``        class tokens of the last four blocks, each normalised, side by side
    ``cls_patch_mean``   class token and ``patch_mean`` side by side
    ``fc_norm``          mean of the patches of the last block, then normalised (where ``fc_norm``)
    ``cls``              class token of ``norm``
    ``proj``             ``cls`` times a matrix (where ``proj_dim``)
    ``attention_pool``   all tokens of ``norm`` (or of the last block) through an attention with one
                         learned query and an MLP (SigLIP; where ``attention_pool``)
    ``logits``           the default feature through a linear classifier (where ``classes``)
    ===================  =====================================================================

    Attributes:
        image_size: side of the square input that the stored positions belong to.
        patch: side of a patch, pixels; divides ``image_size``.
        embed_dim: width of a token.
        layers: number of blocks.
        heads: attention heads; divides ``embed_dim``. No weight reveals it.
        mlp_dim: width of the hidden layer of the MLP.
        class_token: whether there is one (I-JEPA has none).
        registers: number of register tokens.
        layer_scale: whether each branch ends in a learned scale (``ls1.gamma``, ``ls2.gamma``).
        qkv_bias: whether queries, keys and values have a bias.
        layer_norm_eps: added to the variance; no weight reveals it.
        gelu: ``exact`` (error function), ``tanh`` or ``quick`` (x * sigmoid(1.702 x)).
        mlp: ``gelu`` (two products) or ``swiglu`` (silu(a) * b between them, Shazeer 2020).
        positions: ``learned`` (one vector a patch, added) or ``rope`` (queries and keys of the
            patches are rotated, Su et al. 2021, on axes from -1 to 1 as in DINOv3) or ``both``
            (vectors are added, and rotations follow the number of the row and the column, scaled to
            a grid of 16, as in EVA-02).
        position_resize: how learned positions reach another grid: ``bicubic`` (PyTorch's kernel,
            by size), ``antialias`` (its anti-aliased kernel, by size) or ``offset`` (by the scale
            (n + 0.1) / stored, as DINO does).
        patch_bias: whether the projection of the patches has a bias (CLIP's has none).
        pre_norm: whether the tokens are normalised before the first block (CLIP).
        final_norm: whether they are normalised behind the last.
        attention_norm: whether the output of attention is normalised before its last product.
        mlp_norm: whether the hidden layer of the MLP is normalised (EVA-02).
        attention_pool: whether tokens are pooled by an attention (SigLIP).
        fc_norm: whether the mean of the patches has a norm of its own (MAE, fine-tuned).
        proj_dim: width behind the matrix into the space shared with text; 0 for none.
        classes: outputs of the linear classifier; 0 for none.
        feature: the tap to read by default; where empty ``attention_pool``, else ``fc_norm``,
            else ``cls``, else ``patch_mean``, whichever there is.
    """

    family: ClassVar[Family] = "vit"
    added: ClassVar[tuple[str, ...]] = (
        "mlp",
        "positions",
        "position_resize",
        "patch_bias",
        "pre_norm",
        "final_norm",
        "fc_norm",
        "attention_norm",
        "mlp_norm",
        "attention_pool",
        "proj_dim",
        "classes",
        "feature",
    )

    image_size: int = 224
    patch: int
    embed_dim: int
    layers: int
    heads: int
    mlp_dim: int
    class_token: bool = True
    registers: int = 0
    layer_scale: bool = False
    qkv_bias: bool = True
    layer_norm_eps: float = 1e-6
    gelu: Literal["exact", "tanh", "quick"] = "exact"
    mlp: Literal["gelu", "swiglu"] = "gelu"
    positions: Literal["learned", "rope", "both"] = "learned"
    position_resize: Resize = "bicubic"
    patch_bias: bool = True
    pre_norm: bool = False
    final_norm: bool = True
    fc_norm: bool = False
    attention_norm: bool = False
    mlp_norm: bool = False
    attention_pool: bool = False
    proj_dim: int = 0
    classes: int = 0
    feature: str = ""

    def __post_init__(self) -> None:
        super().__post_init__()
        self._check_positive("patch", "embed_dim", "layers", "heads", "mlp_dim")
        self._check_choice("gelu", "exact", "tanh", "quick")
        self._check_choice("mlp", "gelu", "swiglu")
        self._check_choice("positions", "learned", "rope", "both")
        self._check_choice("position_resize", "bicubic", "antialias", "offset")
        if self.image_size % self.patch:
            raise self._error("image_size", f"expected a multiple of the patch ({self.patch})")
        if self.embed_dim % self.heads:
            raise self._error("heads", f"expected a divisor of embed_dim ({self.embed_dim})")
        if self.positions != "learned" and self.head_dim % 4:
            raise self._error("heads", "rotary positions need a width of a head that 4 divides")
        if self.proj_dim and not self.class_token:
            raise self._error("proj_dim", "there is no class token to project: expected 0")
        if self.feature:
            self.check_taps((self.feature,))

    @property
    def grid(self) -> int:
        """Patches along one side of the image that the stored positions belong to."""
        return self.image_size // self.patch

    @property
    def head_dim(self) -> int:
        """Width of one attention head."""
        return self.embed_dim // self.heads

    @property
    def prefix(self) -> int:
        """Tokens that stand before the patches: the class token and the registers."""
        return self.class_token + self.registers

    @property
    def default_tap(self) -> str:
        if self.feature:
            return self.feature
        if self.attention_pool:
            return "attention_pool"
        return "fc_norm" if self.fc_norm else "cls" if self.class_token else "patch_mean"

    @property
    def tap_widths(self) -> dict[str, int]:
        dim = self.embed_dim
        widths = {"patch_embed": dim} | ({"norm_pre": dim} if self.pre_norm else {})
        widths |= {f"blocks.{i}": dim for i in range(self.layers)}
        if self.final_norm:
            widths["norm"] = dim
        if self.class_token and self.layers >= 4:
            widths["cls_last4"] = 4 * dim
        if self.class_token:
            widths["cls_patch_mean"] = 2 * dim
        widths["patch_mean"] = dim
        if self.class_token:
            widths["cls"] = dim
        if self.fc_norm:
            widths["fc_norm"] = dim
        if self.attention_pool:
            widths["attention_pool"] = dim
        if self.proj_dim:
            widths["proj"] = self.proj_dim
        if self.classes:
            # The last to be computed: it reads the default feature.
            widths[LOGITS] = self.classes
        return widths

    @property
    def depth_taps(self) -> tuple[str, ...]:
        """Patches, blocks and what is behind them, each once.

        ``norm`` is left out, as its class token is ``cls`` and the mean of its patches
        ``patch_mean``; so are the joined features, unless one is the default.
        """
        output = "cls" if self.class_token else "patch_mean"
        behind = {output, "fc_norm", "attention_pool", "proj", self.default_tap}
        # Without a norm between the two, the last block is the output already.
        repeated = f"blocks.{self.layers - 1}"
        if self.final_norm or self.default_tap == repeated:
            repeated = output if not self.final_norm else ""
        return tuple(
            tap
            for tap in self.tap_widths
            if tap != repeated
            and (tap in behind or tap in ("patch_embed", "norm_pre") or tap.startswith("blocks."))
        )

    @property
    def weight_shapes(self) -> Shapes:
        dim = self.embed_dim
        shapes: Shapes = {}
        if self.class_token:
            shapes["cls_token"] = (1, 1, dim)
        if self.registers:
            shapes["register_tokens"] = (1, self.registers, dim)
        if self.positions == "rope":
            shapes["rope_periods"] = (self.head_dim // 4,)
        else:
            shapes["pos_embed"] = (1, self.class_token + self.grid**2, dim)
        patch = (self.image_channels, self.patch, self.patch)
        shapes |= affine("patch_embed.proj", dim, *patch, bias=self.patch_bias)
        for i in range(self.layers):
            shapes |= prefixed(f"blocks.{i}", self._block_shapes)
        for norm, present in {
            "norm_pre": self.pre_norm,
            "norm": self.final_norm,
            "fc_norm": self.fc_norm,
        }.items():
            shapes |= affine(norm, dim) if present else {}
        if self.attention_pool:
            shapes |= prefixed("attn_pool", self._pool_shapes)
        if self.proj_dim:
            shapes["proj.weight"] = (self.proj_dim, dim)
        return shapes | (classifier(self.classes, self.width()) if self.classes else {})

    @property
    def _block_shapes(self) -> Shapes:
        dim, hidden = self.embed_dim, self.mlp_dim
        shapes = affine("norm1", dim) | affine("norm2", dim)
        shapes |= affine("attn.qkv", 3 * dim, dim, bias=self.qkv_bias)
        shapes |= affine("attn.proj", dim, dim)
        shapes |= affine("attn.norm", dim) if self.attention_norm else {}
        shapes |= affine("mlp.norm", hidden) if self.mlp_norm else {}
        if self.mlp == "swiglu":
            shapes |= affine("mlp.w12", 2 * hidden, dim) | affine("mlp.w3", dim, hidden)
        else:
            shapes |= affine("mlp.fc1", hidden, dim) | affine("mlp.fc2", dim, hidden)
        if self.layer_scale:
            shapes |= {"ls1.gamma": (dim,), "ls2.gamma": (dim,)}
        return shapes

    @property
    def _pool_shapes(self) -> Shapes:
        dim, hidden = self.embed_dim, self.mlp_dim
        shapes: Shapes = {"latent": (1, 1, dim)}
        shapes |= affine("q", dim, dim) | affine("kv", 2 * dim, dim) | affine("proj", dim, dim)
        shapes |= affine("norm", dim)
        return shapes | affine("mlp.fc1", hidden, dim) | affine("mlp.fc2", dim, hidden)
