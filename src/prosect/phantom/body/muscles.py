"""The muscles that have names, each in its fat: beside the spine, from the loins to the thigh, and of the buttocks."""

from __future__ import annotations

from prosect.phantom.anatomy import Part
from prosect.phantom.body.hips import CREST, mirror, wide
from prosect.phantom.body.outline import SIDES
from prosect.phantom.body.person import Person
from prosect.phantom.organic import Blend, Bulk, Grown, bent_tube, fan
from prosect.phantom.shapes import Loft, Point, Shape

__all__ = ["buttock_parts", "loin_parts"]

FAT_HU = -96.0
# The right buttock: where each muscle begins, and where it ends.
LARGE = ((44, -126, -212), (34, -128, -250), (22, -124, -290), (16, -116, -316))
LARGE_END = ((128, -62, -322), (136, -58, -350), (130, -52, -384), (120, -48, -410))
MIDDLE = ((66, -108, -196), (98, -84, -172), (124, -40, -164), (133, 6, -178), (127, 30, -204))
MIDDLE_END = ((134, -40, -312), (140, -24, -314))
SMALL = ((88, -66, -232), (108, -34, -212), (118, 0, -206), (116, 20, -222))
SMALL_END = ((134, -18, -308), (132, -8, -312))
# Height, distance from the middle, place along A, half sizes: the muscles beside the spinous processes.
BACK = (
    (-292, 17, -126, 12, 6), (-252, 28, -126, 23, 10), (-212, 33, -114, 31, 19), (-165, 36, -104, 32, 26),
    (-110, 37, -102, 31, 26), (-60, 36, -106, 30, 23), (-10, 34, -111, 28, 19), (40, 31, -115, 25, 15),
    (95, 29, -118, 24, 13), (150, 27, -114, 21, 12), (200, 25, -101, 19, 12), (250, 21, -82, 17, 14),
    (320, 18, -62, 15, 14),
)  # fmt: skip
PSOAS: tuple[tuple[Point, float], ...] = (
    ((24, -58, -26), 4), ((30, -52, -70), 12), ((38, -45, -130), 19), ((49, -30, -190), 21), ((66, -2, -250), 18),
    ((84, 22, -298), 16), ((100, 2, -340), 11), ((112, -30, -362), 5),
)  # fmt: skip


def flesh(person: Person, name: str, shape: Shape, extra_hu: float = 0.0) -> list[Part]:
    """Return a muscle and the thin fat around it."""
    hu = person.enhancement.hu("muscle") - 38 * person.marbling + extra_hu
    texture = 7 + 26 * person.marbling
    return [Part("body", FAT_HU, (Grown(shape, 2.2),), 6, grain=1), Part(name, hu, (shape,), texture, grain=1)]


def loin_parts(person: Person) -> list[Part]:
    """Return the muscles beside the spine and those in front of it, and the square muscle of the loins."""
    parts: list[Part] = []
    m = person.muscle**0.5
    w = wide(person)
    for name, s in SIDES:
        column = Loft(
            tuple((float(z), float(s * x), float(y), float(rx * m), float(ry * m)) for z, x, y, rx, ry in BACK), 2.3
        )
        parts += flesh(person, f"{name} autochthon", column, -12.0)
        square = Bulk((s * 66.0, -76.0, -112.0), (19 * m, 9 * m, 52), (0, s * 6.0, 0), 2.4)
        parts += [Part("body", person.enhancement.hu("muscle"), (square,), 8, grain=1)]
        psoas = bent_tube([(s * x, float(y), float(z)) for (x, y, z), _ in PSOAS], [r * m for _, r in PSOAS], 3)
        inside = mirror(CREST, s, 0.93 * w)[1:]
        iliacus = fan(
            inside, [(s * 74.0 * w, -2.0, -276.0), (s * 90.0 * w, 14.0, -286.0)], (5.5 * m, 10.0 * m), 10, 6.0
        )
        parts += flesh(person, f"{name} iliopsoas", Blend((*psoas, iliacus), 5.0), 2.0)
    return parts


def buttock_parts(person: Person) -> list[Part]:
    """Return the three muscles of each buttock, the deepest first, and the fat they lie in."""
    parts: list[Part] = []
    m, w = person.muscle, wide(person)
    for name, s in SIDES:
        large = fan(mirror(LARGE, s, w), mirror(LARGE_END, s, w), (16.0 * m, 22.0 * m), 12, 8.0)
        middle = fan(mirror(MIDDLE, s, w), mirror(MIDDLE_END, s, w), (9.5 * m, 10.0 * m), 13, 8.0)
        small = fan(mirror(SMALL, s, w), mirror(SMALL_END, s, w), (7.0 * m, 6.5 * m), 9, 6.0)
        bed = Bulk((s * 96.0 * w, -60.0, -270.0), (52, 58, 76), (0, s * -14.0, 0), 2.3)
        parts += [Part("body", FAT_HU, (bed,), 6, grain=1)]
        parts += flesh(person, f"{name} gluteus maximus", large, -20.0)
        parts += flesh(person, f"{name} gluteus medius", middle, -10.0)
        parts += flesh(person, f"{name} gluteus minimus", small, -4.0)
    return parts
