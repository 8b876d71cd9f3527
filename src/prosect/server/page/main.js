// The start of the page: its parts are made, and wired to buttons, keys, pointer and files.
import * as api from "./api.js";
import { Actions } from "./actions.js";
import { commands } from "./commands.js";
import { Display } from "./display.js";
import { $ } from "./elements.js";
import * as keys from "./keys.js";
import { connected, toast } from "./messages.js";
import { Opening } from "./opening.js";
import { Results } from "./results.js";
import { Scene } from "./scene.js";
import { Sessions } from "./sessions.js";
import { readOnly, state } from "./state.js";
import { Structures } from "./structures.js";
import { Tools } from "./tools.js";

const canvas = $("canvas");
const NO_TOKEN = "Open the address that the server printed: it holds the token that lets you in.";
const NO_WEBGL = "This browser has no WebGL 2, so it cannot show scans. On the command line: prosect click SCAN -o LABELS";

const scene = new Scene(canvas, {
  place: (place) => { state.place = place; display.place(place); },
  window: (window) => display.windowByHand(window),
});
const structures = new Structures({
  selected: (name) => display.selected(name),
  colour: (name, colour) => actions.appearance(name, { colour }),
  visible: (name, visible) => actions.appearance(name, { visible }),
  lock: (name, locked) => actions.appearance(name, { locked }),
  clear: (name) => actions.clear(name),
  rename: (name, wanted) => actions.rename(name, wanted),
});
const display = new Display(scene, structures, () => actions.refresh().catch((error) => actions.recover(error)));
const actions = new Actions(display);
const tools = new Tools(canvas, scene, {
  may: () => !readOnly() && Boolean(state.session),
  named: () => structures.current,
  click: (place, positive) => {
    if (!state.session) return;
    scene.goTo(place.mm);
    actions.click(place, positive);
  },
  stroke: (stroke) => actions.paint(stroke, tools.radius),
  draw: (shape) => actions.draw(shape),
  zoom: (factor) => { scene.zoom(factor); display.marks(); },
  enlarge: (axis) => {
    if (scene.layout !== "all") run("all");
    else if (axis !== undefined) run(["sagittal", "coronal", "axial"][axis]);
  },
  slices: (axis, steps) => scene.move(...[0, 1, 2].map((each) => (each === axis ? steps : 0))),
});
const sessions = new Sessions({ scene, structures, display, actions });
const opening = new Opening((scan) => sessions.openScan(scan), (session, scan) => sessions.goOn(session, scan));
const run = commands({ scene, structures, display, actions, tools, opening });
new Results(() => state.session, () => (state.scan?.name ?? "scan").split(".")[0]);

function wireForms() {
  document.addEventListener("click", (event) => {
    const asked = event.target.closest("[data-do]");
    if (asked) run(asked.dataset.do);
    if (event.target.closest("[data-close]")) event.target.closest("dialog").close();
  });
  $("open").addEventListener("click", () => run("open"));
  $("draft").addEventListener("submit", (event) => { event.preventDefault(); actions.draft("everything", $("draft-model").value); });
  $("draft-one").addEventListener("click", () => actions.draft([structures.current], $("draft-model").value));
  $("opacity").addEventListener("input", () => scene.setOpacity($("opacity").value / 100));
  $("outline").addEventListener("change", () => scene.setOutline($("outline").checked));
  $("radius").addEventListener("input", () => {
    tools.radius = Number($("radius").value);
    $("radius-mm").textContent = `${tools.radius} mm`;
  });
  $("preset").addEventListener("change", () => {
    const window = JSON.parse($("preset").value);
    scene.setWindow(window.low, window.high);
    display.window(window);
  });
  $("theme").addEventListener("click", () => {
    const dark = getComputedStyle(document.documentElement).getPropertyValue("--back").trim() === "#10181d";
    setTheme(dark ? "light" : "dark");
  });
}

function wireFiles() {
  const take = (files) => sessions.take([...files], (scans) => opening.send(scans));
  $("weights").addEventListener("change", (event) => take(event.target.files));
  window.addEventListener("dragover", (event) => { event.preventDefault(); document.body.classList.add("dragging"); });
  window.addEventListener("dragleave", () => document.body.classList.remove("dragging"));
  window.addEventListener("drop", (event) => {
    event.preventDefault();
    document.body.classList.remove("dragging");
    if (event.dataTransfer.files.length) take(event.dataTransfer.files);
  });
}

function wireCanvas() {
  canvas.addEventListener("webglcontextlost", (event) => {
    event.preventDefault();
    toast("The picture was lost by the graphics driver; it is built again.", { kind: "note" });
    setTimeout(() => location.reload(), 1000);
  });
  // NiiVue takes the new size a moment later, and on a slow machine more than a moment.
  new ResizeObserver(() => {
    for (const wait of [60, 400]) setTimeout(() => { scene.fit(); display.marks(); }, wait);
  }).observe(canvas);
}

function setTheme(name) {
  if (!name) return;
  document.documentElement.dataset.theme = name;
  localStorage.setItem("prosect-theme", name);
}

async function start() {
  setTheme(localStorage.getItem("prosect-theme"));
  if (!api.takeToken()) {
    connected(false, NO_TOKEN);
    return;
  }
  keys.listen(run, (by) => { if (scene.loaded) scene.move(...by); });
  if (!(await scene.start())) {
    connected(false, NO_WEBGL);
    return;
  }
  try {
    state.capabilities = await api.get("/capabilities");
  } catch (error) {
    connected(false, error.message);
    return;
  }
  display.server(state.capabilities);
  await sessions.openAsAsked(() => opening.begin());
}

wireForms();
wireFiles();
wireCanvas();
// Tests and people who debug look at these; nothing in the page depends on them.
window.prosect = { state, scene, structures, tools, display };
start();
