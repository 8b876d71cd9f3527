"""What is trained, on what, in which stages: plain data, read from TOML (VISTA3D, Sec. 3.4 and 4).

A recipe holds one set of defaults; each stage lists only what differs. The four published stages come with the package
as `recipes/*.toml`, and a recipe may take them as they are, change some of their values, or have others.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields, is_dataclass, replace
from importlib import resources
from pathlib import Path
from types import UnionType
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

from prosect.errors import RecipeError
from prosect.io.paths import require_file
from prosect.networks.vista3d.network import ClickHead
from prosect.vocabulary.matching import nearest

__all__ = [
    "PUBLISHED",
    "Data",
    "Part",
    "Recipe",
    "SamMed3dShape",
    "Shape",
    "Stage",
    "Triple",
    "published_stages",
    "read_into",
    "read_recipe",
    "shipped_recipe",
    "shortened",
]

Branch = Literal["interactive", "automatic", "both", "chained"]
Part = Literal["encoder", "automatic", "interactive", "class_vectors", "decoder"]
Loss = Literal["exclusive", "independent"]
ClickLoss = Literal["published", "balanced"]
Schedule = Literal["cosine", "constant"]
Augmentation = Literal["prosect", "official"]
Triple = tuple[int, int, int]
T = TypeVar("T")

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
        click_head: `tokens` as published, or `maps`, which a narrow network learns better.
        rows: Rows of the class embedding table.
        spacing_mm: Working spacing.
        window: Window of the automatic sweep, in voxels.
        click_patch: Window that answers clicks; the same by default.
        intensity: `window` (in intensities, such as HU) or `percentile`.
        low: Mapped to 0.
        high: Mapped to 1.
        classes: Structures of the automatic branch; all that the lists teach by default.
        start: Weights to begin with; None begins at random.
        profile: Scans are prepared as inference prepares them under this profile.
        keep_classes: Offer the classes that the weights to begin with offer, too.
        offered: Classes that the weights offer; all by default. Others compete, and what they win is background; so
            all that are left out must be exclusive.
    """

    width: int = 48
    blocks: tuple[int, ...] = (1, 2, 2, 4, 4)
    click_head: ClickHead = "tokens"
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
        background: Weight of the background in the exclusive loss; 0.3 or so where a network begins from nothing.
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
        return self.shares[self.train.index(part)] if self.shares else 1.0


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


def published_stages() -> dict[str, dict[str, Any]]:
    """Return what differs from the defaults in each of the four published stages."""
    return {name: shipped_recipe(name) for name in PUBLISHED}


def shipped_recipe(name: str) -> dict[str, Any]:
    """Return the tables of a recipe that comes with the package."""
    text = (resources.files("prosect.training") / "recipes" / f"{name}.toml").read_text(encoding="utf-8")
    return tomllib.loads(text)


def read_recipe(path: Path) -> Recipe:
    """Return the recipe in a TOML file. Paths in it start at its folder.

    Tables: `[[data]]`, `[shape]`, `[defaults]` for all stages, `[stage.NAME]` for what differs in one, and
    `[sam_med3d]` where the network is a SAM-Med3D. The order and choice of stages is
    `stages = [...]`, by default the four published ones, or the chain of clicks.

    Raises:
        FormatError: There is no such file, or it cannot be read.
        RecipeError: It is no TOML, has an unknown key, or a value of a wrong type or range (`RECIPE_INVALID`).
    """
    require_file(path)
    try:
        told = tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise RecipeError(f"{path.name}: this is no TOML ({error}).") from error
    refuse_unknown(told, KEYS, path.name)
    data = tuple(
        read_into(Data, each, f"{path.name}, data {n}", path.parent) for n, each in enumerate(listed(told, path))
    )
    network = None
    if "sam_med3d" in told:
        network = read_into(SamMed3dShape, told["sam_med3d"], f"{path.name}, sam_med3d", path.parent)
    recipe = Recipe(
        name=valid(str, told.get("name", path.stem), f"{path.name}, name", path.parent),
        data=data,
        shape=read_into(Shape, told.get("shape", {}), f"{path.name}, shape", path.parent),
        stages=stages_of(told, path),
        sam_med3d=network,
        seed=valid(int, told.get("seed", 0), f"{path.name}, seed", path.parent),
        licence=valid(str, told.get("licence", ""), f"{path.name}, licence", path.parent),
    )
    return checked(recipe, path.name)


def listed(told: Mapping[str, Any], path: Path) -> list[Any]:
    """Return the `[[data]]` tables.

    Raises:
        RecipeError: There is none (`RECIPE_INVALID`).
    """
    found = told.get("data")
    if not isinstance(found, list) or not found:
        raise RecipeError(f"{path.name}: there is no [[data]] to learn from.")
    return found


def stages_of(told: Mapping[str, Any], path: Path) -> tuple[Stage, ...]:
    """Return the stages of a recipe: the shipped values, then the recipe's defaults, then what it says of each."""
    own, defaults = told.get("stage", {}), told.get("defaults", {})
    tables = [own, defaults]
    if isinstance(own, Mapping):
        tables += own.values()
    if not all(isinstance(table, Mapping) for table in tables):
        raise RecipeError(f"{path.name}: [defaults] and every [stage.NAME] must be tables.")
    usual = CHAINED if "sam_med3d" in told else PUBLISHED
    names = valid(tuple[str, ...], told.get("stages", list(usual)), f"{path.name}, stages", path.parent)
    unknown = [name for name in own if name not in names]
    if unknown:
        raise RecipeError(f"{path.name}: stage '{unknown[0]}' is described, but `stages` has only {', '.join(names)}.")
    stages = []
    for name in names:
        shipped = shipped_recipe(name) if name in (*PUBLISHED, *SHIPPED) else {}
        values = {**shipped, **defaults, **own.get(name, {}), "name": name}
        stages.append(read_into(Stage, values, f"{path.name}, stage {name}", path.parent))
    return tuple(stages)


def checked(recipe: Recipe, name: str) -> Recipe:
    """Return a recipe after looking at the values that no type can check.

    Raises:
        RecipeError: `RECIPE_INVALID`.
    """
    if not recipe.shape.blocks:
        raise RecipeError(f"{name}, shape: blocks is empty.")
    check_branches(recipe, name)
    divisor = 1 if recipe.sam_med3d is not None else 2 ** (len(recipe.shape.blocks) - 1)
    clicked = recipe.shape.click_patch or recipe.shape.window
    shapes = [
        ("window", recipe.shape.window),
        ("click_patch", clicked),
        *((f"patch of {s.name}", s.patch) for s in recipe.stages),
    ]
    for what, shape in shapes:
        if any(n <= 0 or n % divisor for n in shape):
            raise RecipeError(f"{name}: the {what} is {list(shape)}; each side must be a multiple of {divisor}.")
    if not recipe.stages or len({stage.name for stage in recipe.stages}) < len(recipe.stages):
        raise RecipeError(f"{name}: there is no stage, or two have one name.")
    for word in (recipe.name, *(stage.name for stage in recipe.stages)):
        if not word or word != Path(word).name or "\\" in word or word.startswith(".") or word in FOLDERS:
            raise RecipeError(f"{name}: {word!r} cannot be a name: it becomes a file or folder of the work folder.")
    check_shape(recipe.shape, name)
    for stage in recipe.stages:
        check_stage(stage, f"{name}, stage {stage.name}")
    if any(source.weight <= 0 for source in recipe.data):
        raise RecipeError(f"{name}: a [[data]] has a weight that is not above 0; leave the list out instead.")
    for source in recipe.data:
        for key in ("warp", "synthesis"):
            if not 0 <= getattr(source, key) <= 1:
                raise RecipeError(
                    f"{name}: {key} of {source.list.name} is {getattr(source, key)}; it must lie in 0 to 1."
                )
        refuse_unknown(source.stages, [stage.name for stage in recipe.stages], f"{name}, stages of {source.list.name}")
    return recipe


def check_branches(recipe: Recipe, name: str) -> None:
    """Refuse stages that are not of the recipe's network.

    Raises:
        RecipeError: `RECIPE_INVALID`.
    """
    chained = recipe.sam_med3d is not None
    known = ("encoder", "decoder") if chained else ("encoder", "automatic", "interactive", "class_vectors")
    for stage in recipe.stages:
        if (stage.branch == "chained") != chained:
            need = '"chained", because the recipe has [sam_med3d]' if chained else "another, or the recipe [sam_med3d]"
            raise RecipeError(f'{name}, stage {stage.name}: branch is "{stage.branch}"; it must be {need}.')
        others = [part for part in stage.train if part not in known]
        if others:
            raise RecipeError(
                f"{name}, stage {stage.name}: train names {others[0]}, which this network does not have. Its parts are "
                f"{', '.join(known)}."
            )
        if chained and stage.unasked and stage.rounds < 3:
            raise RecipeError(
                f"{name}, stage {stage.name}: rounds is {stage.rounds}; with unasked rounds it must be 3 or more. Give "
                "more, or unasked = false."
            )


def check_shape(shape: Shape, name: str) -> None:
    """Refuse numbers of which no network or intensities can be made.

    Raises:
        RecipeError: `RECIPE_INVALID`.
    """
    if shape.spacing_mm <= 0 or min(shape.width, shape.rows, *shape.blocks) < 1:
        raise RecipeError(f"{name}, shape: spacing_mm, width, rows and blocks must be above 0.")
    if shape.low >= shape.high or (shape.intensity == "percentile" and not 0 <= shape.low < shape.high <= 100):
        raise RecipeError(
            f"{name}, shape: low is {shape.low} and high {shape.high}; low must be less, and percentiles lie in 0 to "
            "100 (such as low = 0.5, high = 99.5)."
        )


def check_stage(stage: Stage, where: str) -> None:
    """Refuse numbers that a stage would fail at, or never end at.

    Raises:
        RecipeError: `RECIPE_INVALID`.
    """
    least = {"steps": 1, "patches_per_step": 1, "rounds": 2, "objects": 1, "save_every": 1}
    for name, few in least.items():
        if getattr(stage, name) < few:
            raise RecipeError(f"{where}: {name} is {getattr(stage, name)}; it must be {few} or more.")
    for name in ("learning_rate", "max_gradient_norm"):
        if not getattr(stage, name) > 0:
            raise RecipeError(f"{where}: {name} is {getattr(stage, name)}; it must be above 0.")
    if min(stage.zoom) <= 0:
        raise RecipeError(f"{where}: zoom is {list(stage.zoom)}; both numbers must be above 0.")
    check_parts(stage, where)
    counts = (
        "cached_patches",
        "warmup_steps",
        "validate_every",
        "validate_on",
        "patience",
        "foreground_classes",
        "background_classes",
    )
    if any(getattr(stage, each) < 0 for each in counts):
        raise RecipeError(f"{where}: none of {', '.join(counts)} can be negative.")
    shares = ("ema", "foreground", "turned", "remap")
    if not all(0 <= getattr(stage, each) <= 1 for each in shares):
        raise RecipeError(f"{where}: {', '.join(shares)} must lie in 0 to 1.")


def check_parts(stage: Stage, where: str) -> None:
    """Refuse parts that do not go together.

    Raises:
        RecipeError: `RECIPE_INVALID`.
    """
    if not stage.train:
        raise RecipeError(f"{where}: train is empty, so nothing would learn. Name parts of the network.")
    if stage.shares and len(stage.shares) != len(stage.train):
        raise RecipeError(
            f"{where}: shares has {len(stage.shares)} numbers and train {len(stage.train)} parts. Give one number for "
            "each part."
        )
    if stage.cached_patches and stage.train != ("class_vectors",):
        raise RecipeError(
            f"{where}: cached_patches is {stage.cached_patches}, but the features of a patch stay the same only where "
            'train = ["class_vectors"]. Set cached_patches = 0, or train these alone.'
        )
    if "class_vectors" in stage.train and "automatic" in stage.train:
        raise RecipeError(f"{where}: train names class_vectors, which are a part of automatic. Name one of the two.")


def read_into(kind: type[T], table: Any, where: str, folder: Path) -> T:
    """Return a dataclass with the values of a TOML table.

    Raises:
        RecipeError: It is no table, or has an unknown key or a value of the wrong type (`RECIPE_INVALID`).
    """
    if not isinstance(table, Mapping):
        raise RecipeError(f"{where}: this must be a table, not {table!r:.40}.")
    assert is_dataclass(kind)
    hints = get_type_hints(kind)
    refuse_unknown(table, [each.name for each in fields(kind)], where)
    values = {key: valid(hints[key], value, f"{where}, {key}", folder) for key, value in table.items()}
    try:
        return kind(**values)
    except TypeError as error:
        raise RecipeError(f"{where}: {str(error).split('()')[-1].strip()}.") from error


def refuse_unknown(keys: Iterable[str], known: Iterable[str], where: str) -> None:
    """Refuse a key that nothing reads.

    Raises:
        RecipeError: `RECIPE_INVALID`, with the nearest known key.
    """
    names = {each: each for each in known}
    for key in keys:
        if key not in names:
            raise RecipeError(f"{where}: '{key}' is unknown; nearest: {', '.join(nearest(key, names, 2))}.")


def valid(kind: Any, value: Any, where: str, folder: Path) -> Any:
    """Return a TOML value as a field's type wants it.

    Raises:
        RecipeError: It is of another type (`RECIPE_INVALID`).
    """
    origin, inner = get_origin(kind), get_args(kind)
    if origin in (Union, UnionType):
        return valid(next(each for each in inner if each is not type(None)), value, where, folder)
    if origin is Literal:
        if value not in inner:
            raise RecipeError(f"{where} is {value!r}; it can be {', '.join(map(repr, inner))}.")
        return value
    if origin is tuple:
        many = inner[-1] is Ellipsis
        if not isinstance(value, list) or (not many and len(value) != len(inner)):
            raise RecipeError(f"{where} is {value!r:.60}; it must be a list{'' if many else f' of {len(inner)}'}.")
        kinds = [inner[0]] * len(value) if many else inner
        return tuple(valid(each, item, where, folder) for each, item in zip(kinds, value, strict=True))
    if kind is Path and isinstance(value, str):
        return folder / value
    if kind is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
        raise RecipeError(f"{where} is {value!r:.60}; it must be of type {kind.__name__}.")
    return value


def shortened(recipe: Recipe, steps: int) -> Recipe:
    """Return a recipe whose stages have so many steps at most, to try it out."""
    stages = (replace(s, steps=min(s.steps, steps), validate_every=min(s.validate_every, steps)) for s in recipe.stages)
    return replace(recipe, stages=tuple(stages))
