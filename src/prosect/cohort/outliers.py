"""Cases whose volumes are far from those of the cohort: the first places to look for a scan that went wrong.

Volumes of an organ spread by factors rather than by millilitres, so distances are told on their logarithms, from the
median in units of the median distance (Iglewicz and Hoaglin, How to Detect and Handle Outliers, 1993): neither is moved
by the outliers themselves.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from urllib.parse import quote

from prosect.cohort.ledger import Event
from prosect.cohort.pages import escape, page
from prosect.cohort.tables import ABSENT, PRESENT, Row
from prosect.display import millilitres

__all__ = ["FEWEST_CASES", "Outlier", "by_case", "describe", "find_outliers", "outlier_page", "previews_of"]

# Below this a median distance says little.
FEWEST_CASES = 10
# The median distance of a normal distribution is 0.6745 standard deviations.
NORMAL = 0.6745
# All equal would make any difference infinite: 2 % is what two readers of one organ disagree by at best.
LEAST_SPREAD = math.log(1.02)
# A structure that so many cases have is missed where it is absent.
USUAL_SHARE = 0.95


@dataclass(frozen=True)
class Outlier:
    """A structure of a case that is unlike that of the others.

    Attributes:
        case: The case.
        name: The structure.
        volume_ml: Its volume, 0 where it is absent.
        usual_ml: The median volume of the cohort.
        score: How far it is, in standard deviations of a normal distribution; infinite where it is absent.
        preview: The picture of the case, relative to the folder of the results; empty where there is none.
    """

    case: str
    name: str
    volume_ml: float
    usual_ml: float
    score: float
    preview: str = ""


def find_outliers(rows: Iterable[Row], previews: Mapping[str, str], threshold: float = 3.5) -> tuple[Outlier, ...]:
    """Return what is far from the rest, the farthest first.

    A structure that reaches the edge of its scan is cut by it, so its volume says nothing and is left out; so is a
    structure that fewer than ten cases have whole. A structure that 95 % of the cases have is told where it is absent.

    Args:
        rows: The rows of all cases.
        previews: The picture of each case that has one.
        threshold: The least score.
    """
    by_name: defaultdict[str, list[Row]] = defaultdict(list)
    for row in rows:
        by_name[row.name].append(row)
    found: list[Outlier] = []
    for name in sorted(by_name):
        found += outliers_of(by_name[name], previews, threshold)
    return tuple(sorted(found, key=lambda outlier: (-abs(outlier.score), outlier.case, outlier.name)))


def outliers_of(rows: Sequence[Row], previews: Mapping[str, str], threshold: float) -> list[Outlier]:
    """Return the outliers of one structure."""
    whole = [row for row in rows if row.volume_ml and not row.touches_border]
    if len(whole) < FEWEST_CASES:
        return []
    logs = [math.log(row.volume_ml or 1.0) for row in whole]
    middle = median(logs)
    spread = max(median(abs(value - middle) for value in logs), LEAST_SPREAD)
    usual_ml = math.exp(middle)
    found = []
    for row, value in zip(whole, logs, strict=True):
        score = NORMAL * (value - middle) / spread
        if abs(score) >= threshold:
            picture = previews.get(row.case, "")
            found.append(Outlier(row.case, row.name, row.volume_ml or 0.0, usual_ml, score, picture))
    present = sum(row.state == PRESENT for row in rows)
    if present >= USUAL_SHARE * len(rows):
        for row in rows:
            if row.state == ABSENT:
                picture = previews.get(row.case, "")
                found.append(Outlier(row.case, row.name, 0.0, usual_ml, -math.inf, picture))
    return found


def previews_of(done: Mapping[str, Event]) -> dict[str, str]:
    """Return the picture of each finished case that has one, relative to the folder of the results."""
    found = {}
    for case, event in done.items():
        for name in event["files"]:
            if name.endswith("preview.png"):
                found[case] = name
    return found


def by_case(found: Iterable[Outlier]) -> dict[str, list[Outlier]]:
    """Return outliers by their case, the case with the farthest one first."""
    cases: dict[str, list[Outlier]] = {}
    for outlier in found:
        cases.setdefault(outlier.case, []).append(outlier)
    return cases


def outlier_page(found: Sequence[Outlier], commands: Mapping[str, str]) -> str:
    """Return the outliers as a page that lies beside the results and shows their pictures.

    Args:
        found: The outliers.
        commands: What opens each case, where that is known.
    """
    blocks, cases = [], by_case(found)
    for case, outliers in cases.items():
        lines = "".join(f"<p>{escape(describe(outlier))}</p>" for outlier in outliers)
        picture, command = "", ""
        if outliers[0].preview:
            picture = f'<img src="{escape(quote(outliers[0].preview))}" alt="" loading="lazy">'
        if case in commands:
            command = f"<code>{escape(commands[case])}</code>"
        blocks.append(f'<section class="card"><h2>{escape(case)}</h2>{lines}{command}{picture}</section>')
    title = f"{len(found)} volumes in {len(cases)} scans are far from those of the cohort"
    if not found:
        title = "No volume is far from those of the cohort"
    foot = ""
    if commands:
        foot = "The line of each scan opens it with its labels; prosect cohort outliers OUT --open opens all."
    return page(title, blocks, foot=foot)


def describe(outlier: Outlier) -> str:
    """Return an outlier in words."""
    usual = f"usually {millilitres(outlier.usual_ml)}"
    if math.isinf(outlier.score):
        return f"{outlier.name}: absent; {usual}"
    return f"{outlier.name}: {millilitres(outlier.volume_ml)}; {usual} (score {outlier.score:+.1f})"
