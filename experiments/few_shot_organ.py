"""Write what is needed to measure few-shot finetuning of an organ that the weights it starts from never saw.

`python experiments/few_shot_organ.py models/prosect-torso/lists -o FEW` takes the stomach out of the lists of BTCV and
keeps folds 0 and 1 (nine patients) for testing. Then, beside `experiments/few_shot_organ.toml` copied to FEW and the
weights it begins with:

`torchrun --nproc-per-node 2 -m prosect.cli.main train FEW/few_shot_organ.toml --work FEW/run`
`prosect evaluate fewshot FEW/few.csv -o RESULTS -w FEW/run/prosect-torso.safetensors --map "7=+stomach of ours" "1="
"2=" "3=" "4=" "5=" "6=" "8=" "9=" "10=" "11=" "12=" "13=" --shots 1,5 --from-scratch --seeds 3 --steps 250 --spacing 4
--patch 48 48 48`
"""

from __future__ import annotations

import argparse
import csv
from dataclasses import replace
from pathlib import Path

from prosect.data.datalist import DataList, read_datalist, write_datalist

ORGAN, TEST_FOLDS = "stomach", (0, 1)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("lists", type=Path, help="what models/prosect-torso/data.py wrote")
    parser.add_argument("-o", "--output", type=Path, required=True)
    args = parser.parse_args()
    drawn = without_organ(read_datalist(args.lists / "btcv.json"))
    tested = {entry.name for entry in drawn if entry.fold in TEST_FOLDS}
    entries = []
    for entry in drawn:
        fold = 0 if entry.name in tested else 1
        entries.append(replace(entry, fold=fold))
    (args.output / "lists").mkdir(parents=True, exist_ok=True)
    write_datalist(replace(drawn, entries=tuple(entries)), args.output / "lists" / "btcv.json")
    warped = without_organ(read_datalist(args.lists / "btcv_warped_0.json"))
    # A copy is called by the scan that it was made of, and a number.
    kept = tuple(entry for entry in warped if entry.name.rsplit("_", 1)[0] not in tested)
    write_datalist(replace(warped, entries=kept), args.output / "lists" / "warped.json")
    with (args.output / "few.csv").open("w", newline="") as file:
        table = csv.writer(file)
        table.writerow(("image", "label", "split"))
        for entry in sorted(entries, key=lambda entry: entry.fold, reverse=True):
            split = "training" if entry.fold else "testing"
            table.writerow((entry.image.resolve(), entry.label.resolve(), split))


def without_organ(data: DataList) -> DataList:
    """Return a list whose labels say nothing of the organ."""
    mappings = {}
    for name, mapping in data.mappings.items():
        organ = data.vocabulary[ORGAN].index
        values = {label: None if index == organ else index for label, index in mapping.values.items()}
        mappings[name] = replace(mapping, values=values)
    return replace(data, mappings=mappings)


if __name__ == "__main__":
    main()
