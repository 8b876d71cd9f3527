"""Hip bones and thigh bones."""

from __future__ import annotations

from prosect.phantom.anatomy import Part
from prosect.phantom.body.outline import SIDES
from prosect.phantom.body.person import Person
from prosect.phantom.organic import Blend, Bulk, bent_tube, fan
from prosect.phantom.shapes import Capsule, HalfSpace, Point, Shape, Without

__all__ = ["CREST", "HEAD", "hip_parts", "wide"]

CORTEX_HU, MARROW_HU, SHAFT_HU = 660.0, 72.0, 1000.0
HEAD: Point = (88.0, -8.0, -306.0)  # middle of the right femoral head
CREST: tuple[Point, ...] = (
    (46, -120, -224), (66, -104, -190), (90, -72, -163), (114, -32, -156), (127, 2, -168), (121, 30, -202),
)  # fmt: skip
LOWER: tuple[Point, ...] = (
    (51, -96, -256), (60, -80, -268), (72, -54, -284), (84, -22, -288), (94, 0, -280), (101, 20, -256),
)  # fmt: skip
# Middle lines of the thick rims and branches of the right hip bone, with a radius in mm at each of their points.
CREST_MM = (9, 7.5, 6.3, 7.5, 7, 7)
NOTCH_MM = (8, 8, 10, 11, 9, 6.5)
SEAT: tuple[Point, ...] = ((84, -34, -318), (70, -54, -348), (60, -58, -384))
SEAT_MM = (18, 15, 15.5)
RAMUS: tuple[Point, ...] = ((58, -56, -386), (36, -22, -376), (13, 16, -362))
RAMUS_MM = (9, 6, 6)
FRONT: tuple[Point, ...] = ((78, 16, -304), (44, 33, -318), (12, 38, -334))
FRONT_MM = (13, 9, 11)
SYMPHYSIS: tuple[Point, ...] = ((12, 38, -334), (9, 30, -352), (13, 16, -364))
SYMPHYSIS_MM = (9, 7.5, 6)
# Along R, A and S of the right hip: where the socket opens.
MOUTH: Point = (0.72, 0.38, -0.58)
SOCKET_MM, GAP_MM = 34.0, 26.0  # radius of the bone around the joint, and of the room for the femoral head in it


def wide(person: Person) -> float:
    """Return by how much the pelvis is wider than a man's."""
    if person.female:
        return 1.05
    return 1.0


def mirror(points: tuple[Point, ...], side: int, wide: float) -> list[Point]:
    """Return points of the right hip on one side of a pelvis of this width."""
    found: list[Point] = []
    for x, y, z in points:
        found.append((side * x * wide, float(y), float(z)))
    return found


def hip_parts(person: Person) -> list[Part]:
    """Return hip bones, joints and thigh bones."""
    parts: list[Part] = []
    w = wide(person)
    strong = 0.6 + 0.4 * person.bone
    marrow = MARROW_HU * person.bone
    for name, s in SIDES:
        x, y, z = HEAD
        ball: Point = (s * x * w, y, z)
        parts += [
            Part(f"{name} hip", CORTEX_HU * strong, (hip(s, w, 0.0, ball),), 60, grain=0),
            Part(None, marrow, (hip(s, w, 2.0, ball),), 55 * person.bone, grain=0),
            Part("body", 70.0, (Bulk(ball, (26.5, 26.5, 26.5)),)),
            *femur(name, s, w, ball, person),
        ]
    joint: Point = (0.0, 36.0, -342.0)
    return [*parts, Part("body", 75.0, (Bulk(joint, (2.6, 9, 18), (-40, 0, 0)),))]


def hip(side: int, wide: float, thinner_mm: float, ball: Point) -> Shape:
    """Return one hip bone with its socket, or what lies that far below its surface."""

    def rim(line: tuple[Point, ...], radii_mm: tuple[float, ...], per_piece: int = 3) -> tuple[Capsule, ...]:
        thin = [radius - thinner_mm for radius in radii_mm]
        return bent_tube(mirror(line, side, wide), thin, per_piece)

    thickness_mm = (7.8 - thinner_mm, 5.2 - thinner_mm)
    wing = fan(mirror(LOWER, side, wide), mirror(CREST, side, wide), thickness_mm, 20, 2.5)
    rims = (
        *rim(CREST, CREST_MM),
        *rim(LOWER, NOTCH_MM),
        *rim(SEAT, SEAT_MM),
        *rim(RAMUS, RAMUS_MM),
        *rim(FRONT, FRONT_MM),
        *rim(SYMPHYSIS, SYMPHYSIS_MM, 2),
    )
    solid = Blend((wing, socket(side, thinner_mm, ball), *rims), 3.0)
    # What lies below the surface also keeps that far from the joint, so the room grows as the bone shrinks.
    room_mm = GAP_MM + thinner_mm
    return Without(solid, Bulk(ball, (room_mm, room_mm, room_mm)))


def socket(side: int, thinner_mm: float, ball: Point) -> Shape:
    """Return the bone around the femoral head, still filled, with its mouth cut open."""
    mouth: Point = (side * MOUTH[0], MOUTH[1], MOUTH[2])
    # The plane of the mouth lies 6 mm beyond the middle of the head.
    offset = sum(n * c for n, c in zip(mouth, ball, strict=True)) + 6.0
    inward: Point = (ball[0] - side * 3.0, ball[1], ball[2] + 2.0)
    radius_mm = SOCKET_MM - thinner_mm
    return Without(Bulk(inward, (radius_mm, radius_mm, radius_mm)), HalfSpace(mouth, offset))


def femur(name: str, side: int, wide: float, ball: Point, person: Person) -> list[Part]:
    """Return the upper half of one thigh bone."""
    s, x = side, abs(ball[0])
    strong = 0.6 + 0.4 * person.bone
    knob: Point = (s * (x + 51), -30.0, -318.0)
    neck: list[Point] = [ball, (s * (x + 26), -20.0, -322.0), (s * (x + 42), -24.0, -336.0)]
    shaft: list[Point] = [(s * (x + 42), -24.0, -336.0), (s * (x + 37), -16.0, -380.0), (s * (x + 30), -8.0, -470.0)]
    small: Point = (s * (x + 26), -36.0, -362.0)
    outer: tuple[Shape, ...] = (
        Bulk(ball, (24.3, 24.3, 24.3)), Bulk(knob, (13, 17, 23), (0, s * 12.0, 0)), Bulk(small, (10, 9, 13)),
        *bent_tube(neck, [18.0, 15.5, 20.0], 3), *bent_tube(shaft, [20.0, 16.0, 14.5], 3),
    )  # fmt: skip
    inner: tuple[Shape, ...] = (
        Bulk(ball, (22.4, 22.4, 22.4)), Bulk(knob, (11, 15, 21), (0, s * 12.0, 0)),
        *bent_tube(neck, [16.0, 12.5, 17.0], 3), *bent_tube(shaft[:2], [17.0, 9.0], 3),
    )  # fmt: skip
    return [
        Part(f"{name} femur", SHAFT_HU * strong, (Blend(outer, 4.0),), 60, grain=0),
        Part(None, 110 * person.bone, (Blend(inner, 4.0),), 55, grain=0),
        Part(None, 260 * person.bone, (Bulk(ball, (15, 15, 15)),), 60, grain=0),
        Part(None, 0.0, bent_tube(shaft[1:], [7.5, 7.0], 2), 20, grain=1),
    ]
