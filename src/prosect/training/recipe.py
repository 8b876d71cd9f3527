"""What is trained, on what, in which stages: plain data (VISTA3D, Sec. 3.4 and 4).

A recipe holds one set of defaults; each stage lists only what differs. The four published stages come with the package
as `recipes/*.toml`, and a recipe may take them as they are, change some of their values, or have others.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

__all__ = [
    "CHAINED",
    "FOLDERS",
    "KEYS",
    "PUBLISHED",
    "SHIPPED",
    "Data",
    "Part",
    "Recipe",
    "SamMed3dShape",
    "Shape",
    "Stage",
    "Triple",
    "shorten",
]

Branch = Literal["interactive", "automatic", "both", "chained"]
Part = Literal["encoder", "automatic", "interactive", "class_vectors", "decoder"]
Loss = Literal["exclusive", "marginal", "independent"]
ClickLoss = Literal["published", "balanced"]
ClickBranch = Literal["tokens", "maps", "none"]
Schedule = Literal["cosine", "constant"]
Augmentation = Literal["prosect", "official"]
Triple = tuple[int, int, int]

KEYS = ("name", "data", "shape", "sam_med3d", "stages", "defaults", "stage", "seed", "licence")
FOLDERS = ("scans", "tensorboard")  # of the work folder

# What a SAM-Med3D is trained for where a recipe names no stages.
CHAINED = ("chained",)
# Stages whose values come with the package.
SHIPPED = ("chained", "chained_from_nothing")

# Sec. 3.4: the interactive branch first, because it shapes the encoder; then, that being frozen, the automatic one.
PUBLISHED = ("1_interactive", "2_interactive_finetuning", "3_automatic", "4_automatic_finetuning")


@dataclass(frozen=True)
class Data:
    """A list of scans.

    Attributes:
        list: JSON, CSV or folder; see `read_datalist`.
        weight: How often its scans are drawn, beside other lists.
        dataset: Name of the set, where the list does not say.
        map: What its label values mean, as `1=liver`.
        root: Where its paths start.
        pseudo_root: The same for pseudo-labels.
        supervoxel_root: The same for supervoxels.
        fold: The fold kept for validation, where the list names no validation scans.
        stages: Only these stages use it; all by default.
        mirror: Show every second patch mirrored, left and right structures exchanged. For regions that are alike on
            both sides, such as the neck, and not for the abdomen.
        warp: Share of the patches that are bent at random, so that a few scans are not learnt by heart.
        synthesis: Share of the patches whose intensities are drawn anew from the labels, so that shape and contrast are
            learnt and not one scanner's look. Of a CT they stay Hounsfield units.
    """

    list: Path
    weight: float = 1.0
    dataset: str | None = None
    map: tuple[str, ...] = ()
    root: Path | None = None
    pseudo_root: Path | None = None
    supervoxel_root: Path | None = None
    fold: int | None = None
    stages: tuple[str, ...] = ()
    mirror: bool = False
    warp: float = 0.0
    synthesis: float = 0.0


@dataclass(frozen=True)
class Shape:
    """The network, and how it sees scans.

    Attributes:
        width: Channels at full resolution.
        blocks: Residual blocks per level of the encoder.
        click_head: `tokens` as published, or `maps`, which a narrow network learns better; `none` for a network
            without the click branch, whose file is a quarter smaller.
        rows: Rows of the class embedding table.
        spacing_mm: Working spacing.
        window: Window of the automatic sweep, in voxels.
        click_patch: Patch that answers clicks; the shape of a window by default.
        intensity: `window` (in intensities, such as HU) or `percentile`.
        low: Mapped to 0.
        high: Mapped to 1.
        classes: Structures of the automatic branch; all that the lists teach by default.
        start: Weights to begin with; None begins at random.
        profile: Scans are prepared as inference prepares them under this profile.
        keep_classes: Offer the classes that the weights to begin with offer, too.
        offered: Classes that the weights offer; all by default. Others compete, and what they win is background; so
            all that are left out must be exclusive.
        scans_mm: Spacing at which scans are kept for training; by default the working spacing. Finer where stages show
            objects at scales below 1.
    """

    width: int = 48
    blocks: tuple[int, ...] = (1, 2, 2, 4, 4)
    click_head: ClickBranch = "tokens"
    rows: int = 512
    spacing_mm: float = 1.5
    window: Triple = (128, 128, 128)
    click_patch: Triple | None = None
    intensity: Literal["window", "percentile"] = "window"
    low: float = -963.8247715525971
    high: float = 1053.678477684517
    classes: tuple[str, ...] | None = None
    start: Path | None = None
    profile: Literal["prosect", "bundle", "research"] = "prosect"
    keep_classes: bool = False
    offered: tuple[str, ...] | None = None
    scans_mm: float | None = None


@dataclass(frozen=True)
class SamMed3dShape:
    """A SAM-Med3D in place of a VISTA3D. The numbers are those of `build`, but for what is given here.

    Attributes:
        build: One of the network's builds; `small` is one to train on little hardware.
        crop: Voxels of the crop along each axis; every stage's patch must be as large.
        token: Voxels of a token along each axis.
        width: Channels of the encoder.
        depth: Blocks of the encoder.
        heads: Attention heads of the encoder.
        global_blocks: Blocks that attend over the whole crop.
        attention: Tokens of a window of attention along each axis, for the other blocks.
        embedding: Channels of features and prompts; a multiple of 48.
        decoder_hidden: Width of the decoder's MLP.
        positions: `official`, or `fixed` for training from nothing: a click then has the code of its place.
        waves: Factor on the frequencies of the position code at the beginning. Slow waves make neighbouring tokens
            look alike.
        sharpness: Factor on the projections by which clicks and image attend to one another at the beginning.
        loudness: Factor on image features at the beginning, which mean nothing yet and would drown positions.
    """

    build: Literal["vit_b_ori", "vit_b", "vit_l", "vit_h", "small"] = "small"
    crop: int | None = None
    token: int | None = None
    width: int | None = None
    depth: int | None = None
    heads: int | None = None
    global_blocks: tuple[int, ...] | None = None
    attention: int | None = None
    embedding: int | None = None
    decoder_hidden: int | None = None
    positions: Literal["official", "fixed"] | None = None
    waves: float = 0.3
    sharpness: float = 3.0
    loudness: float = 0.3


@dataclass(frozen=True)
class Stage:
    """One run of the training loop. Defaults are those of the official configurations where these say.

    Attributes:
        name: Names its folder.
        branch: Which loss is taken; `both` from one encoding, `chained` for a SAM-Med3D.
        train: Parts of the network that change: `encoder`, `automatic` (decoder and class head), `interactive`
            (decoder and click head), or `class_vectors`, the embeddings of the classes and their mapping alone; of a
            SAM-Med3D `encoder` and `decoder`, with which its prompt encoder learns.
        shares: Share of the learning rate of each part of `train`; all of it by default.
        steps: Optimiser steps.
        learning_rate: Peak rate.
        schedule: After the warm-up the rate falls by half a `cosine` to zero, or stays `constant`.
        warmup_steps: Length of the warm-up.
        weight_decay: Of AdamW.
        ema: Decay of the averaged weights.
        max_gradient_norm: Gradients are scaled down to this norm (official: no limit).
        patches_per_step: Patches of one step (official: two of one scan).
        patch: Voxels of a patch.
        beyond: What a patch shows beyond a scan that is shorter than it: `air`, or its outermost voxels again (`edge`),
            as inference shows them.
        cached_patches: Draw so many patches once, keep their features and take them in turn; 0 draws new ones. Only
            where the class vectors alone learn, because the features must stay as they are.
        bfloat16: Mixed precision.
        loss: `independent` losses per class, as published, or `exclusive` ones, which a small network learns better.
            `marginal` is the latter for lists that are labelled for different structures: they compete everywhere.
        background: Weight of the background in the exclusive and marginal loss; 0.3 or so where a network begins from
            nothing.
        click_loss: `published`, or `balanced`, with which a network that begins from nothing does not fall silent; it
            draws objects too large, so a later stage must be `published`.
        foreground_classes: Classes of a patch that the independent loss takes at most.
        background_classes: Classes known not to be in the patch that it takes at most.
        pseudo: Use pseudo-labels.
        supervoxels: Use supervoxels for zero-shot targets.
        unlabelled: Draw scans without manual labels, too.
        oversample: Draw scans with rare structures more often.
        augmentation: `official` (MONAI's transforms, as configured there) or `prosect`.
        foreground: Probability that a patch is drawn around a labelled structure.
        turned: Probability that a patch is rotated and zoomed.
        max_degrees: Largest rotation (official: none).
        zoom: Smallest and largest magnification.
        scales: Finest and coarsest multiple of the working spacing at which patches are drawn: as inference clicks on
            objects of other sizes. Each is drawn to suit the object that the patch is drawn around.
        own_scale: Probability that a patch is drawn at the working spacing all the same, where `scales` are given.
            Only there are structures clicked by their names, as in sessions.
        apparent_mm: From and to which longest side such an object has there, as if that were the working spacing.
        remap: Probability that clicks are asked for on intensities seen through a random curve.
        rounds: Clicks on an object at most (Sec. 3.4: five rounds); of `chained`, answers in a chain.
        objects: Objects of a patch that are clicked.
        smallest: Objects of fewer voxels in the patch are not clicked.
        unasked: Whether one round between and the last of a chain show the network its answer and no click.
        click_containers: Click structures that contain most of the others, too, such as the body.
        validate_every: Steps between validations; 0 never validates.
        validate_on: Validation scans looked at.
        patience: Validations without a gain that end the stage; 0 never does.
        save_every: Steps between saved states.
        seed: Of its patches; by default the recipe's plus the stage's place, so that stages alike draw others.
    """

    name: str
    branch: Branch = "interactive"
    train: tuple[Part, ...] = ("encoder", "automatic", "interactive")
    shares: tuple[float, ...] = ()
    steps: int = 10000
    learning_rate: float = 2e-5
    schedule: Schedule = "cosine"
    warmup_steps: int = 0
    weight_decay: float = 1e-5
    ema: float = 0.995
    max_gradient_norm: float = 1.0
    patches_per_step: int = 2
    patch: Triple = (128, 128, 128)
    beyond: Literal["air", "edge"] = "air"
    cached_patches: int = 0
    bfloat16: bool = True
    loss: Loss = "independent"
    background: float = 1.0
    click_loss: ClickLoss = "published"
    foreground_classes: int = 32
    background_classes: int = 4
    pseudo: bool = True
    supervoxels: bool = False
    unlabelled: bool = False
    oversample: bool = False
    augmentation: Augmentation = "prosect"
    foreground: float = 0.9
    turned: float = 0.2
    max_degrees: float = 0.0
    zoom: tuple[float, float] = (0.8, 1.2)
    scales: tuple[float, float] = (1.0, 1.0)
    own_scale: float = 0.3
    apparent_mm: tuple[float, float] = (15.0, 120.0)
    remap: float = 0.0
    rounds: int = 5
    objects: int = 4
    smallest: int = 12
    unasked: bool = True
    click_containers: bool = False
    validate_every: int = 0
    validate_on: int = 8
    patience: int = 0
    save_every: int = 100
    seed: int | None = None

    @property
    def finds(self) -> bool:
        """Whether it teaches the network to find classes without clicks."""
        return self.branch in ("automatic", "both")

    def share_of(self, part: Part) -> float:
        """Return a part's share of the learning rate."""
        if self.shares:
            return self.shares[self.train.index(part)]
        return 1.0


@dataclass(frozen=True)
class Recipe:
    """A whole training.

    Attributes:
        name: Of the model.
        data: Its lists.
        shape: The network, and how it sees scans.
        sam_med3d: The network, where it is a SAM-Med3D; of `shape` then only how it sees scans counts.
        stages: In their order.
        seed: Of everything drawn.
        licence: Written into the weights.
    """

    name: str
    data: tuple[Data, ...]
    shape: Shape = field(default_factory=Shape)
    stages: tuple[Stage, ...] = ()
    seed: int = 0
    licence: str = ""
    sam_med3d: SamMed3dShape | None = None


def shorten(recipe: Recipe, steps: int) -> Recipe:
    """Return a recipe whose stages have so many steps at most, to try it out."""
    stages = (replace(s, steps=min(s.steps, steps), validate_every=min(s.validate_every, steps)) for s in recipe.stages)
    return replace(recipe, stages=tuple(stages))
