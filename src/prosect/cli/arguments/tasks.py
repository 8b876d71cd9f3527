"""Sets of structures by the names that TotalSegmentator gives them (`-ta`), as far as they can be had here."""

from __future__ import annotations

__all__ = ["ELSEWHERE", "LISTS", "TASKS", "TOTAL"]

# Everything that the model finds.
TOTAL = "total"
# The names that the vocabulary has for what a task segments.
TASKS: dict[str, tuple[str, ...]] = {
    "body": ("body",),
    "liver_vessels": ("hepatic vessel", "hepatic tumor"),
    "lung_nodules": ("lung tumor",),
    "kidney_cysts": ("left kidney cyst", "right kidney cyst"),
    "tissue_types": ("muscles", "fat"),
}
# Tasks that are a list of the vocabulary, with the model that knows it.
LISTS = {
    "total_mr": ("MRI_BODY", "vista3d-ctmr"),
    "brain_structures": ("MRI_BRAIN", "vista3d-ctmr"),
}
# What stands in the place of tasks that nobody here has.
ELSEWHERE = "no model here has a set of this name; `prosect segment -lt` lists those that are known, -rs takes names"
