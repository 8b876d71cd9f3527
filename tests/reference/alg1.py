"""Algorithm 1 of the VISTA3D paper, line by line, on sets of voxels. Slow on purpose."""

from __future__ import annotations

import itertools

import numpy as np

Voxels = frozenset[tuple[int, int, int]]


def connected_components(voxels: Voxels) -> list[Voxels]:
    """Return "CC(.)": the 3D connected components, a voxel having 26 neighbours."""
    rest, found = set(voxels), []
    while rest:
        todo = [rest.pop()]
        component = set(todo)
        while todo:
            i, j, k = todo.pop()
            for a, b, c in itertools.product((-1, 0, 1), repeat=3):
                near = (i + a, j + b, k + c)
                if near in rest:
                    rest.remove(near)
                    component.add(near)
                    todo.append(near)
        found.append(frozenset(component))
    return found


def selected(candidates: list[Voxels], clicks: list[tuple[int, int, int]], spacing: np.ndarray, miss: float) -> set:
    """Return the voxels of the components that hold a click; near misses as `prosect.inference.merge` words them."""
    out: set[tuple[int, int, int]] = set()
    for click in clicks:
        distances = [
            min(round(float(np.linalg.norm((np.array(v) - click) * spacing)), 6) for v in component)
            for component in candidates
        ]
        nearest = min(distances, default=np.inf)
        if nearest <= miss:
            for component, distance in zip(candidates, distances, strict=True):
                if distance == nearest:
                    out |= component
    return out


def alg1(
    automatic: np.ndarray,
    interactive: np.ndarray,
    positive: list[tuple[int, int, int]],
    negative: list[tuple[int, int, int]],
    spacing: np.ndarray | None = None,
    miss: float = 0.0,
) -> np.ndarray:
    """Return M_a + M_final,add - M_final,rm."""
    spacing = np.ones(3) if spacing is None else spacing
    m_a = frozenset(map(tuple, np.argwhere(automatic).tolist()))
    m_p = frozenset(map(tuple, np.argwhere(interactive).tolist()))
    add = connected_components(m_p - m_a)
    remove = connected_components(m_a - m_p)
    final_add = selected(add, positive, spacing, miss)
    if any(p in m_a for p in positive):
        final_add |= selected(connected_components(m_p), positive, spacing, miss)
    final_remove = selected(remove, negative, spacing, miss)
    out = np.zeros(automatic.shape, dtype=bool)
    for voxel in (m_a | final_add) - final_remove:
        out[voxel] = True
    return out
