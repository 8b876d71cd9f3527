// The page: buttons, keys and pointer become actions; what comes back is shown.
import * as api from "./api.js";
import { Actions } from "./actions.js";
import * as keys from "./keys.js";
import { drawClicks } from "./marks.js";
import { connected, problem, say, toast } from "./messages.js";
import { Opening } from "./opening.js";
import { Results } from "./results.js";
import { Scene } from "./scene.js";
import { readOnly, state } from "./state.js";
import { Structures } from "./structures.js";
import { Tools } from "./tools.js";
import { watch } from "./watching.js";

const $ = (id) => document.getElementById(id);
const canvas = $("canvas");
const SLOW_MS = 1000;
const CHOSEN = ["positive", "negative", "paint", "erase", "box", "lasso", "look"];
const WEIGHTS = /\.(safetensors|pt|pth)$/i;

const scene = new Scene(canvas, (place) => { state.place = place; showPlace(place); showMarks(); });
const structures = new Structures({
  selected: (name) => { say(`${name} is selected`); showClicks(); $("draft-one").disabled = !canDraft(); },
  colour: (name, colour) => actions.appearance(name, { colour }),
  visible: (name, visible) => actions.appearance(name, { visible }),
  lock: (name, locked) => actions.appearance(name, { locked }),
  clear: (name) => actions.clear(name),
  rename: (name, wanted) => actions.rename(name, wanted),
});
const show = { delta: showDelta, clicks: showClicks, marks: showMarks, work: showWork, structures: takeState, need: needStructure, renamed };
const actions = new Actions(show);
const tools = new Tools(canvas, scene, {
  may: () => !readOnly() && Boolean(state.session),
  click: (place, positive) => { if (state.session) { scene.goTo(place.mm); actions.click(place, positive); } },
  stroke: (stroke) => actions.paint(stroke, tools.radius),
  draw: (shape) => actions.draw(shape),
});
const opening = new Opening(openScan, goOn);
new Results(() => state.session, () => (state.scan?.name ?? "scan").split(".")[0]);

// --- Scans and sessions

async function openScan(scan) {
  const session = await api.send("POST", "/sessions", { scan_id: scan.scan_id });
  await enter(scan, session);
}

async function goOn(sessionId, scanId) {
  const session = await api.get(`/sessions/${sessionId}`);
  await enter(await api.get(`/scans/${scanId}`), session);
  const done = session.revision;
  if (done && !readOnly()) toast(`Restored: ${done} action${done === 1 ? "" : "s"}.`);
}

async function enter(scan, session) {
  say("loading the scan…");
  $("welcome").hidden = true;
  Object.assign(state, { scan, session: session.session_id, revision: session.revision, queue: [], clicks: [], pending: [], behind: [] });
  sessionStorage.setItem("prosect-session", JSON.stringify([session.session_id, scan.scan_id]));
  showFacts(scan);
  await scene.show(await api.bytes(`/scans/${scan.scan_id}/view.nii`), scan.window);
  showPresets(scan);
  structures.selected = null;
  await actions.refresh(null, true);
  for (const note of scan.notes) toast(note, { kind: "note" });
  for (const element of [$("search"), $("preset"), $("format"), $("export").querySelector("button")]) element.disabled = false;
  $("search").disabled = readOnly();
  $("draft").querySelector("button").disabled = readOnly() || state.capabilities.models.length === 0;
  $("save").hidden = readOnly() || !state.capabilities.saves;
  watch(actions, show);
  say(`${scan.name} is open`);
  canvas.focus();
}

/** Return the structure that is selected; where there is none say what to do. */
function needStructure() {
  if (structures.current) return structures.current;
  toast("Choose a structure, or type the name of a new object first.", { kind: "note" });
  $("search").focus();
  return null;
}

function canDraft() {
  const known = structures.known.find((each) => each.name === structures.current);
  return Boolean(known?.supported) && !readOnly() && state.capabilities.models.length > 0;
}

// --- What is shown

function showDelta({ header, labels }, whole = false) {
  state.revision = header.revision;
  state.structures = header.structures;
  scene.colour(header.structures);
  if (header.box && labels.length) scene.paint(header.box, labels);
  else if (whole) scene.draw();
  press("change", false);
  for (const [what, able] of [["undo", header.can_undo], ["redo", header.can_redo]]) {
    document.querySelector(`[data-do=${what}]`).disabled = !able || readOnly();
  }
  const first = header.structures.find((each) => each.voxels);
  if (structures.selected === null && first) structures.selected = first.name;
  structures.render(header.structures);
  for (const note of header.notes ?? []) toast(note, { kind: "note" });
  showMarks();
}

/** Take names, colours and locks; where masks have changed as well they are loaded. */
function takeState(said) {
  if (said.revision > state.revision + 1) {
    actions.refresh().catch((error) => actions.recover(error));
    return;
  }
  state.revision = said.revision;
  state.structures = said.structures;
  scene.colour(said.structures);
  structures.render(said.structures);
  scene.draw();
}

function renamed(before, after) {
  if (structures.current === before) structures.select(after, false);
}

function showFacts(scan) {
  $("scan-name").textContent = scan.name;
  document.title = `${scan.name} – prosect`;
  const facts = [scan.modality, scan.shape.join(" × "), scan.spacing_mm.map((each) => each.toFixed(2)).join(" × ") + " mm"];
  if (scan.view.step.some((each) => each > 1)) facts.push(`shown reduced, every ${scan.view.step.join(", ")}th voxel`);
  $("scan-facts").textContent = facts.filter(Boolean).join(" · ");
}

function showWork() {
  const job = [...state.jobs.values()][0];
  const late = state.busy && performance.now() - state.busy.since > SLOW_MS - 50;
  const shown = job ?? (late ? state.busy : null);
  $("work").hidden = !shown;
  if (!shown) return;
  $("work-text").textContent = !shown.text || shown.text === "running" ? "the model is at work" : shown.text;
  if (shown.total) $("work-bar").value = shown.done / shown.total;
  else $("work-bar").removeAttribute("value");
}

function showPlace(place) {
  const [i, j, k] = place.voxel;
  const here = state.structures.find((each) => each.slot === place.slot)?.name ?? "";
  const mm = place.mm.map((each) => each.toFixed(1)).join(", ");
  const value = place.value === null ? "" : ` · ${Math.round(place.value * 100) / 100}${state.scan?.hounsfield ? " HU" : ""}`;
  $("place").textContent = `${mm} mm · voxel ${i}, ${j}, ${k}${value}${here ? ` · ${here}` : ""}`;
}

function showClicks() {
  const mine = clicksOfCurrent();
  $("clicks-box").hidden = mine.length === 0;
  $("clicks-of").textContent = `${structures.current} (${mine.length})`;
  $("clicks").replaceChildren(...mine.map((each) => {
    const item = document.createElement("li"), go = document.createElement("button");
    go.type = "button";
    go.textContent = `${each.positive ? "+" : "−"} ${each.position_ras.map((one) => one.toFixed(1)).join(", ")} mm`;
    go.addEventListener("click", () => scene.goTo(each.position_ras));
    item.append(go);
    return item;
  }));
  showMarks();
}

function clicksOfCurrent() {
  return state.clicks.filter((each) => each.structure === structures.current);
}

function showMarks() {
  if (!scene.loaded) return;
  const made = clicksOfCurrent().map((each) => ({ mm: each.position_ras, positive: each.positive, state: "" }));
  drawClicks([...made, ...state.pending], (mm) => scene.project(mm));
}

function showPresets(scan) {
  const rows = [["as at first", scan.window], ...Object.entries(scan.presets)];
  $("preset").replaceChildren(...rows.map(([name, window]) => {
    const option = document.createElement("option");
    option.textContent = name;
    option.value = JSON.stringify(window);
    return option;
  }));
}

function showModels(models) {
  state.capabilities.models = models;
  $("draft-model").replaceChildren(...models.map((each) => new Option(each, each)));
  $("models-row").hidden = readOnly();
}

function press(name, on) {
  document.querySelector(`.tool[data-do=${name}]`)?.setAttribute("aria-pressed", String(on));
}

// --- Commands of buttons and keys

function choose(name) {
  tools.choose(name);
  for (const each of CHOSEN) press(each, each === name);
}

function nextObject() {
  const taken = new Set(state.structures.map((each) => each.name));
  let number = 1;
  while (taken.has(`object ${number}`)) number++;
  structures.select(`object ${number}`);
}

async function suggest() {
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
}

function lock() {
  const row = state.structures.find((each) => each.name === structures.current);
  if (row) actions.appearance(row.name, { locked: !row.locked });
}

function layout(name) {
  scene.setLayout(name);
  press("render", name === "render");
  setTimeout(showMarks, 60);
}

function nextLayout() {
  const order = ["all", "axial", "coronal", "sagittal"];
  layout(order[(order.indexOf(scene.layout) + 1) % order.length]);
}

function showChange() {
  const on = document.querySelector("[data-do=change]").getAttribute("aria-pressed") !== "true";
  if (scene.showChange(on)) {
    press("change", on);
    say(on ? "white: what the last action changed" : "");
  }
}

function opacity(change) {
  $("opacity").value = Number($("opacity").value) + change;
  scene.setOpacity($("opacity").value / 100);
}

function outline() {
  $("outline").checked = !$("outline").checked;
  scene.setOutline($("outline").checked);
}

function visibility() {
  state.coloured = !state.coloured;
  scene.setOpacity(state.coloured ? $("opacity").value / 100 : 0);
}

function crosshair() {
  state.crosshair = !state.crosshair;
  scene.setCrosshair(state.crosshair);
}

function firstWindow() {
  $("preset").selectedIndex = 0;
  $("preset").dispatchEvent(new Event("change"));
}

const commands = {
  open: () => opening.show(),
  ...Object.fromEntries(CHOSEN.map((name) => [name, () => choose(name)])),
  toggle: () => choose(tools.name === "positive" ? "negative" : "positive"),
  next: nextObject,
  reset: () => structures.current && actions.clear(structures.current),
  rename: () => structures.current && structures.edit(structures.current),
  undo: () => actions.step("undo"), redo: () => actions.step("redo"), cancel: () => actions.cancel(),
  suggest, lock, visibility, outline, crosshair, window: firstWindow, change: showChange,
  fainter: () => opacity(-10), stronger: () => opacity(10),
  axial: () => layout("axial"), coronal: () => layout("coronal"), sagittal: () => layout("sagittal"), all: () => layout("all"),
  render: () => layout(scene.layout === "render" ? "all" : "render"), layout: nextLayout,
  here: () => { if (state.place) actions.click(state.place, tools.name !== "negative"); },
  help: () => { keys.table($("keys")); $("help-dialog").showModal(); },
};
const WITHOUT_SESSION = new Set(["open", "help"]);

function run(name) {
  if (state.session || WITHOUT_SESSION.has(name)) commands[name]?.();
}

/** Take files that were dropped or chosen: weights become a model, anything else is opened as a scan. */
async function take(files) {
  const weights = files.length === 1 && WEIGHTS.test(files[0].name) ? files[0] : null;
  if (!weights) {
    await opening.send(files);
    return;
  }
  try {
    say(`loading ${weights.name}…`);
    const said = await api.addModel(weights);
    showModels(said.models);
    $("draft-model").value = said.model;
    toast(`${said.model} can draft now.`);
  } catch (error) {
    problem(error);
  }
}

// --- Wiring

document.addEventListener("click", (event) => {
  const asked = event.target.closest("[data-do]");
  if (asked) run(asked.dataset.do);
  if (event.target.closest("[data-close]")) event.target.closest("dialog").close();
});
$("open").addEventListener("click", () => run("open"));
$("draft").addEventListener("submit", (event) => { event.preventDefault(); actions.draft("everything", $("draft-model").value); });
$("draft-one").addEventListener("click", () => actions.draft([structures.current], $("draft-model").value));
$("weights").addEventListener("change", (event) => take([...event.target.files]));
$("preset").addEventListener("change", () => { const { low, high } = JSON.parse($("preset").value); scene.setWindow(low, high); });
$("opacity").addEventListener("input", () => scene.setOpacity($("opacity").value / 100));
$("outline").addEventListener("change", () => scene.setOutline($("outline").checked));
$("radius").addEventListener("input", () => { tools.radius = Number($("radius").value); $("radius-mm").textContent = `${tools.radius} mm`; });
$("theme").addEventListener("click", () => {
  const dark = getComputedStyle(document.documentElement).getPropertyValue("--back").trim() === "#10181d";
  setTheme(dark ? "light" : "dark");
});
window.addEventListener("dragover", (event) => { event.preventDefault(); document.body.classList.add("dragging"); });
window.addEventListener("dragleave", () => document.body.classList.remove("dragging"));
window.addEventListener("drop", (event) => {
  event.preventDefault();
  document.body.classList.remove("dragging");
  if (event.dataTransfer.files.length) take([...event.dataTransfer.files]);
});
canvas.addEventListener("webglcontextlost", (event) => {
  event.preventDefault();
  toast("The picture was lost by the graphics driver; it is built again.", { kind: "note" });
  setTimeout(() => location.reload(), 1000);
});
// NiiVue takes the new size a moment later, and on a slow machine more than a moment.
new ResizeObserver(() => {
  for (const wait of [60, 400]) setTimeout(() => { scene.fit(); showMarks(); }, wait);
}).observe(canvas);
canvas.addEventListener("wheel", () => setTimeout(showMarks, 30), { passive: true });

function setTheme(name) {
  if (!name) return;
  document.documentElement.dataset.theme = name;
  localStorage.setItem("prosect-theme", name);
}

async function start() {
  setTheme(localStorage.getItem("prosect-theme"));
  if (!api.takeToken()) {
    connected(false, "Open the address that the server printed: it holds the token that lets you in.");
    return;
  }
  keys.listen(run, (by) => { if (scene.loaded) scene.move(...by); });
  if (!(await scene.start())) {
    connected(false, "This browser has no WebGL 2, so it cannot show scans. On the command line: prosect click SCAN -o LABELS");
    return;
  }
  try {
    state.capabilities = await api.get("/capabilities");
  } catch (error) {
    connected(false, error.message);
    return;
  }
  showServer(state.capabilities);
  try {
    await openAsAsked();
  } catch (error) {
    sessionStorage.removeItem("prosect-session");
    $("welcome").hidden = false;
    problem(error);
  }
}

function showServer(capabilities) {
  structures.known = capabilities.structures;
  document.body.classList.toggle("read-only", readOnly());
  $("model").textContent = capabilities.model.model ?? "";
  $("model").title = capabilities.licence ?? "";
  $("format").replaceChildren(...capabilities.formats.map((each) => new Option(each, each)));
  showModels(capabilities.models);
}

/** Open what the address names, or what this tab had open before it was loaded again. */
async function openAsAsked() {
  const given = new URLSearchParams(location.search);
  const known = JSON.parse(sessionStorage.getItem("prosect-session") ?? "null");
  if (given.get("scan")) {
    await openScan(await api.get(`/scans/${given.get("scan")}`));
  } else if (given.get("session")) {
    const session = await api.get(`/sessions/${given.get("session")}`);
    await goOn(session.session_id, session.scan_id);
  } else if (known) {
    await goOn(...known);
  }
}

// Tests and people who debug look at these; nothing in the page depends on them.
window.prosect = { state, scene, structures, tools };
start();
