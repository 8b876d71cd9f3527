"""Write the averaged weights of a stage that is not over, because it was ended by hand.

`python runs/average_of.py RECIPE WORK/STAGE/state.pt -o FILE`.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch

from prosect.training.course import prepare_course
from prosect.training.export import described, export
from prosect.training.recipe import read_recipe


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("recipe", type=Path)
    parser.add_argument("state", type=Path)
    parser.add_argument("-o", "--output", type=Path, required=True)
    args = parser.parse_args()
    recipe, state = read_recipe(args.recipe), torch.load(args.state, weights_only=True, map_location="cpu")
    numbering = prepare_course(recipe, args.state.parent.parent).numbering
    export(state["average"], described(recipe, numbering, {}, {args.state.parent.name: state["step"]}), args.output)
    print(f"{args.output}: {args.state.parent.name} after {state['step']} of {state['settings']['steps']} steps")


if __name__ == "__main__":
    main()
