"""Write the data lists from which prosect-small learns clicks on objects of all sizes; see `clicks.toml`.

`python models/prosect-small/click_lists.py --data DATA -o models/prosect-small/click_lists`, then the recipe
`clicks.toml`. Five organs of the abdomens and four abdomens are left out, so that clicks can be judged
on organs that nobody has shown to the click branch. Files that are there already are not written again.
"""

from __future__ import annotations

import argparse
import csv
import importlib.util
import sys
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path
from types import ModuleType

import numpy as np

MODELS = Path(__file__).resolve().parents[1]
# Label value to structure: spleen, kidneys, oesophagus, liver, aorta, vena cava. Gallbladder, stomach, pancreas and the
# adrenal glands are left out.
ABDOMEN = {1: 3, 2: 5, 3: 14, 5: 11, 6: 1, 8: 6, 9: 7}
HELD_OUT = ("05", "12", "18", "25")
NECKS = 64


def load_script(name: str, path: Path) -> ModuleType:
    """Return another script of this folder's family as a module."""
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


small = load_script("small_data", MODELS / "prosect-small/data.py")
torso = load_script("torso_data", MODELS / "prosect-torso/data.py")


def read_abdomen(path: Path) -> object:
    """Return an abdomen with the seven organs that are taught."""
    hu, spacing = small.load_ras(path)
    drawn, _ = small.load_ras(path.with_name(path.name.replace("_ct", "_seg")))
    meaning = np.zeros(14, dtype=int)
    for value, index in ABDOMEN.items():
        meaning[value] = index
    return small.Scan(path.name[:7], hu, spacing, meaning[drawn.astype(int)], None, tuple(ABDOMEN.values()))


def read_chest(data: Path) -> object:
    """Return the chest with all structures that another model has found in it."""
    _, chest = torso.read_taught(data)
    order = chest.volume.grid.to_ras()
    hu = np.ascontiguousarray(order.apply(np.asarray(chest.volume.array)))
    values = np.ascontiguousarray(order.apply(chest.labels))
    spacing = chest.volume.grid.reorder(order).spacing_mm
    known = (1, 3, 5, 14, small.VERTEBRAE, small.CORD, small.OESOPHAGUS)
    lung = np.isin(values, small.LOBES)
    return small.Scan("chest_all", hu, spacing, small.merged(values.astype(np.int64)), lung, known)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("-o", "--output", type=Path, required=True)
    args = parser.parse_args()
    data, out = args.data, args.output
    abdomens = []
    for path in sorted((data / "btcv_sabs").glob("btcv_*_ct.nii.gz")):
        if path.name[5:7] not in HELD_OUT:
            abdomens.append(path)
    with (data / "openkbp/cases.tsv").open() as table:
        rows = [row for row in csv.DictReader(table, delimiter="\t") if row["case"].startswith("train")]
    read_neck = partial(small.neck, data / "openkbp")
    with ProcessPoolExecutor(2) as pool:
        stored = pool.map(partial(small.make_and_store, read_abdomen, out, True), abdomens)
        small.write_list(list(stored), (), out / "btcv.json")
        stored = pool.map(partial(small.make_and_store, read_neck, out, True), rows[:NECKS])
        small.write_list(list(stored), small.ABSENT_IN_NECK, out / "neck.json")
    reference = small.torso(data / "totalsegmentator_refs", 0)
    small.write_list([small.store(reference, out, True)], (), out / "torso.json")
    small.write_list([small.store(scan, out, True) for scan in small.others(data)], (), out / "others.json")
    small.write_list([small.store(read_chest(data), out, True)], (), out / "chest.json")


if __name__ == "__main__":
    main()
