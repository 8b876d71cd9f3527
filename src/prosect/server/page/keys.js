// Keys, and the list of them that `?` shows.
export const KEYS = [
  ["click", "clicks with the current sign in the selected structure"], ["Shift + click", "clicks with the other sign once"],
  ["Enter", "clicks at the crosshair"], ["P, N, T", "add, remove, the other of both"], ["B, D", "brush, eraser"], ["M, A", "box, lasso: they become clicks; with Shift what lies inside is removed"], ["S", "look only"], ["W", "drag changes the window"], ["C", "shows what the last action changed, until it is pressed again"],
  ["E", "next object"], ["R, F2", "removes the selected structure (undo brings it back), renames it"], ["Ctrl+Z, Ctrl+Y", "undo, redo"],
  ["G", "goes to where a click would tell most"], ["L", "locks the selected structure"], ["V", "shows or hides all"], ["H", "outline or filled"],
  ["[ and ]", "opacity"], ["X", "crosshair on or off"], ["arrows, PageUp, PageDown", "move the crosshair; with Shift by ten"],
  ["wheel, two fingers up or down", "next slice; with Shift by ten"], ["right drag, Ctrl + wheel, two fingers apart, Z, Shift + Z", "closer, farther, around the crosshair"], ["middle drag, Shift + drag", "moves the picture"], ["F", "the whole picture again"], ["0", "window as at first"], ["1 2 3 4 5", "axial, coronal, sagittal, all, with 3D"], ["double click", "while looking or changing the window: one plane, or all"],
  ["O", "opens a scan"], ["Esc", "cancels what runs"], ["?", "this list"],
];

const PLAIN = {
  p: "positive", n: "negative", t: "toggle", b: "paint", d: "erase", m: "box", a: "lasso", c: "change", s: "look", e: "next", r: "reset", g: "suggest", l: "lock", v: "visibility",
  h: "outline", F2: "rename", x: "crosshair", w: "windowing", o: "open", z: "closer", f: "whole", "+": "positive", "-": "negative", "[": "fainter", "]": "stronger", "?": "help", 0: "window",
  1: "axial", 2: "coronal", 3: "sagittal", 4: "all", 5: "render", Enter: "here", Escape: "cancel",
};
const MOVES = { ArrowUp: [0, 1, 0], ArrowDown: [0, -1, 0], ArrowLeft: [1, 0, 0], ArrowRight: [-1, 0, 0], PageUp: [0, 0, 1], PageDown: [0, 0, -1] };

/** Call `run` with what a key asks for. Keys in fields, lists and dialogs keep their usual meaning. */
export function listen(run, move) {
  window.addEventListener("keydown", (event) => {
    const inField = event.target.closest?.("input, select, textarea, dialog[open]");
    const onButton = event.target.closest?.("button, li, summary, [role=row]") && (event.key === "Enter" || event.key === " ");
    if (event.key === "Escape" && !inField) {
      event.stopPropagation();
      run("cancel");
      return;
    }
    const inList = event.target.closest?.("[role=listbox], [role=grid]") && event.key.startsWith("Arrow");
    if (inField || onButton || inList) return;
    if (event.ctrlKey || event.metaKey) {
      const key = event.key.toLowerCase();
      const asked = key === "z" ? (event.shiftKey ? "redo" : "undo") : key === "y" ? "redo" : null;
      if (asked) take(event, () => run(asked));
      return;
    }
    if (event.altKey) return;
    const step = MOVES[event.key];
    if (step) {
      take(event, () => move(step.map((each) => each * (event.shiftKey ? 10 : 1))));
      return;
    }
    const asked = event.key === "Z" ? "farther" : PLAIN[event.key.length === 1 ? event.key.toLowerCase() : event.key];
    if (asked) take(event, () => run(asked));
  }, { capture: true });
}

function take(event, run) {
  event.preventDefault();
  event.stopPropagation();
  run();
}

export function table(into) {
  into.replaceChildren(...KEYS.map(([key, meaning]) => {
    const row = document.createElement("tr"), left = document.createElement("td"), right = document.createElement("td"), sign = document.createElement("kbd");
    sign.textContent = key;
    Object.assign(row, { role: "row" });
    for (const cell of [left, right]) cell.role = "cell";
    left.append(sign);
    right.textContent = meaning;
    row.append(left, right);
    return row;
  }));
}
