// What buttons and keys ask for, by name.
import * as api from "./api.js";
import { $, press, pressed } from "./elements.js";
import * as keys from "./keys.js";
import { say } from "./messages.js";
import { state } from "./state.js";

const CHOSEN = ["positive", "negative", "paint", "erase", "box", "lasso", "look", "windowing"];
const LAYOUTS = ["all", "axial", "coronal", "sagittal"];
const WITHOUT_SESSION = new Set(["open", "help"]);
const ZOOM = 1.25;

/** Return a function that does what a name asks for. */
export function commands(parts) {
  const table = { ...choosing(parts), ...editing(parts), ...looking(parts) };
  table.open = () => parts.opening.show();
  table.help = () => {
    keys.table($("keys"));
    $("help-dialog").showModal();
  };
  return (name) => {
    if (state.session || WITHOUT_SESSION.has(name)) table[name]?.();
  };
}

function choosing({ tools, scene, structures, actions }) {
  const choose = (name) => {
    tools.choose(name);
    scene.dragWindow(name === "windowing");
    for (const each of CHOSEN) press(each, each === name);
    say(`tool: ${document.querySelector(`.tool[data-do=${name}] .name`).textContent}`);
  };
  return {
    ...Object.fromEntries(CHOSEN.map((name) => [name, () => choose(name)])),
    toggle: () => choose(tools.name === "positive" ? "negative" : "positive"),
    here: () => {
      if (state.place) actions.click(state.place, tools.name !== "negative");
    },
    suggest: async () => {
      try {
        const found = await api.get(`/sessions/${state.session}/suggest`);
        if (!found) {
          say("model and masks agree wherever a click was made");
          return;
        }
        structures.select(found.structure, false);
        choose(found.positive ? "positive" : "negative");
        scene.goTo(found.position_ras);
        say(`${found.structure}: look here (${found.volume_ml.toFixed(1)} mL hang on it); Enter clicks ${found.positive ? "+" : "−"}`);
      } catch (error) {
        await actions.recover(error);
      }
    },
  };
}

function editing({ structures, actions }) {
  return {
    next: () => structures.select(nextObject()),
    reset: () => structures.current && actions.clear(structures.current),
    rename: () => structures.current && structures.edit(structures.current),
    undo: () => actions.step("undo"),
    redo: () => actions.step("redo"),
    cancel: () => actions.cancel(),
    lock: () => {
      const row = state.structures.find((each) => each.name === structures.current);
      if (row) actions.appearance(row.name, { locked: !row.locked });
    },
  };
}

function looking({ scene, display }) {
  const layout = (name) => {
    scene.setLayout(name);
    press("render", name === "render");
    setTimeout(() => display.marks(), 60);
  };
  const opacity = (change) => {
    $("opacity").value = Number($("opacity").value) + change;
    scene.setOpacity($("opacity").value / 100);
  };
  const zoom = (factor) => {
    scene.zoom(factor);
    display.marks();
  };
  return {
    axial: () => layout("axial"),
    coronal: () => layout("coronal"),
    sagittal: () => layout("sagittal"),
    all: () => layout("all"),
    render: () => layout(scene.layout === "render" ? "all" : "render"),
    layout: () => layout(LAYOUTS[(LAYOUTS.indexOf(scene.layout) + 1) % LAYOUTS.length]),
    closer: () => zoom(ZOOM),
    farther: () => zoom(1 / ZOOM),
    whole: () => zoom(0),
    fainter: () => opacity(-10),
    stronger: () => opacity(10),
    change: () => {
      const on = !pressed("change");
      if (!scene.showChange(on)) {
        say("there is no change to show");
        return;
      }
      press("change", on);
      say(on ? "white: what the last action changed" : "the labels again");
    },
    outline: () => {
      $("outline").checked = !$("outline").checked;
      scene.setOutline($("outline").checked);
    },
    visibility: () => {
      state.coloured = !state.coloured;
      scene.setOpacity(state.coloured ? $("opacity").value / 100 : 0);
      say(state.coloured ? "all structures are shown" : "all structures are hidden");
    },
    crosshair: () => {
      state.crosshair = !state.crosshair;
      scene.setCrosshair(state.crosshair);
    },
    window: () => {
      display.presets(state.scan);
      scene.setWindow(state.scan.window.low, state.scan.window.high);
    },
  };
}

/** Return a name that no object has yet. */
function nextObject() {
  const taken = new Set(state.structures.map((each) => each.name));
  let number = 1;
  while (taken.has(`object ${number}`)) number++;
  return `object ${number}`;
}
