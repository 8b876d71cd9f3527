// The page: what a person does becomes calls to the server, and what comes back is painted.
import * as api from "./api.js";
import * as keys from "./keys.js";
import { connected, problem, say, toast } from "./messages.js";
import { Opening } from "./opening.js";
import { Scene } from "./scene.js";
import { Structures } from "./structures.js";

const $ = (id) => document.getElementById(id);
const canvas = $("canvas");
const MOVED = 4; // pixels: a press that moves further is no click
const QUEUE = 4;
const RETRY = [1, 2, 4, 8, 15];
const SLOW_MS = 1000;
const SHOWN_MS = 8000; // how long a refusal stays beside its click

const state = {
  capabilities: null, scan: null, session: null, revision: null, structures: [], tool: "positive", queue: [], busy: null, jobs: new Map(),
  clicks: [], events: null, radius: 6, place: null, colourShown: true,
};

const structures = new Structures({
  selected: (name) => { say(`${name} is selected`); showClicks(); },
  colour: (name, colour) => appearance(name, { colour }),
  visible: (name, visible) => appearance(name, { visible }),
  lock: (name, locked) => appearance(name, { locked }),
  clear: (name) => clear(name),
});
const scene = new Scene(canvas, (place) => { state.place = place; showPlace(place); drawMarks(); });
const opening = new Opening(openScan, goOn);

// --- Scans and sessions

async function openScan(scan) {
  const session = await api.send("POST", "/sessions", { scan_id: scan.scan_id });
  await enter(scan, session);
}

async function goOn(sessionId, scanId) {
  const session = await api.get(`/sessions/${sessionId}`);
  await enter(await api.get(`/scans/${scanId}`), session);
  const actions = session.revision;
  if (actions) toast(`Restored: ${actions} action${actions === 1 ? "" : "s"}.`);
}

async function enter(scan, session) {
  say("loading the scan…");
  $("welcome").hidden = true;
  Object.assign(state, { scan, session: session.session_id, revision: session.revision, queue: [], clicks: [] });
  sessionStorage.setItem("prosect-session", JSON.stringify([session.session_id, scan.scan_id]));
  $("scan-name").textContent = scan.name;
  const facts = [scan.modality, scan.shape.join(" × "), scan.spacing_mm.map((each) => each.toFixed(2)).join(" × ") + " mm"];
  if (scan.view.step.some((each) => each > 1)) facts.push(`shown reduced, every ${scan.view.step.join(", ")}th voxel`);
  $("scan-facts").textContent = facts.filter(Boolean).join(" · ");
  await scene.show(await api.bytes(`/scans/${scan.scan_id}/view.nii`), scan.window);
  setPresets(scan);
  structures.selected = null;
  await refresh();
  for (const note of scan.notes) toast(note, { kind: "note" });
  for (const element of [$("search"), $("preset"), $("format"), $("export").querySelector("button")]) element.disabled = false;
  $("draft").querySelector("button").disabled = state.capabilities.models.length === 0 || state.capabilities.read_only;
  watch();
  say(`${scan.name} is open`);
  canvas.focus();
}

/** Fetch all labels and the state anew: at the start, and whenever a delta may have been missed. */
async function refresh() {
  const delta = await api.labels(state.session);
  take(delta, true);
  await fetchClicks();
}

function take({ header, labels }, whole = false) {
  state.revision = header.revision;
  state.structures = header.structures;
  scene.colour(header.structures);
  if (header.box && labels.length) scene.paint(header.box, labels);
  else if (whole) scene.draw();
  for (const [what, able] of [["undo", header.can_undo], ["redo", header.can_redo]]) {
    document.querySelector(`[data-do=${what}]`).disabled = !able;
  }
  if (structures.selected === null && header.structures.length) structures.selected = header.structures[0].name;
  structures.render(header.structures);
  for (const note of header.notes ?? []) toast(note, { kind: "note" });
  drawMarks();
}

async function fetchClicks() {
  state.clicks = (await api.get(`/sessions/${state.session}/clicks`)).clicks;
  showClicks();
}

// --- Actions, one after another

/** Do an action when those before it are done; at most a few wait. */
function enqueue(work) {
  if (state.queue.length >= QUEUE) {
    toast("Several clicks wait already; wait for the model.", { kind: "note" });
    return false;
  }
  state.queue.push(work);
  if (!state.busy) next();
  return true;
}

async function next() {
  const work = state.queue.shift();
  if (!work) {
    state.busy = null;
    showWork();
    return;
  }
  state.busy = { controller: new AbortController(), since: performance.now(), job: null };
  const slow = setTimeout(showWork, SLOW_MS);
  try {
    await work(state.busy.controller.signal);
  } catch (error) {
    await recover(error);
  } finally {
    clearTimeout(slow);
    next();
  }
}

async function recover(error) {
  if (error instanceof api.Lost) {
    connected(false);
    return;
  }
  if (error.code === "REVISION_OLD") {
    toast("This session was changed elsewhere; the labels are loaded again.", { kind: "note" });
    await refresh();
    return;
  }
  problem(error);
}

async function act(path, body, signal) {
  const delta = await api.act(`/sessions/${state.session}${path}`, body, state.revision, signal);
  if (delta.header.revision > state.revision + 1) await refresh();
  else take(delta);
  return delta.header;
}

function clickAt(place, positive) {
  if (!state.session || state.capabilities.read_only) return;
  const name = structures.current;
  if (!name) {
    toast("Choose a structure, or type the name of a new object first.", { kind: "note" });
    $("search").focus();
    return;
  }
  const mark = { mm: place.mm, positive, state: "busy" };
  state.pending = [...(state.pending ?? []), mark];
  const accepted = enqueue(async (signal) => {
    try {
      const header = await act("/clicks", { structure: name, position: place.mm, space: "ras", positive }, signal);
      forget(mark);
      tell(header.change);
      await fetchClicks();
    } catch (error) {
      if (error instanceof api.Problem && error.code !== "REVISION_OLD") {
        mark.state = "refused";
        mark.text = error.message;
        drawMarks();
        setTimeout(() => forget(mark), SHOWN_MS);
        say(error.message);
        return;
      }
      forget(mark);
      throw error;
    }
  });
  if (!accepted) forget(mark);
  drawMarks();
}

function forget(mark) {
  state.pending = (state.pending ?? []).filter((each) => each !== mark);
  drawMarks();
}

function tell(change) {
  if (!change) return;
  const parts = [];
  if (change.added) parts.push(`${change.added.toLocaleString()} voxels added`);
  if (change.removed) parts.push(`${change.removed.toLocaleString()} removed`);
  say(`${change.structure}: ${parts.join(", ") || "nothing changed"} (${change.seconds.toFixed(1)} s)`);
}

function step(what) {
  enqueue(async (signal) => {
    const header = await act(`/${what}`, {}, signal);
    tell(header.change);
    await fetchClicks();
  });
}

function clear(name) {
  enqueue(async (signal) => {
    await act("/clear", { structure: name }, signal);
    await fetchClicks();
    toast(`${name} is empty now.`, { action: { label: "Undo", run: () => step("undo") } });
  });
}

async function appearance(name, change) {
  try {
    const said = await api.send("PUT", `/sessions/${state.session}/structures/${encodeURIComponent(name)}`, change);
    state.revision = said.revision;
    state.structures = said.structures;
    scene.colour(said.structures);
    structures.render(said.structures);
    scene.draw();
  } catch (error) {
    await recover(error);
  }
}

async function suggest() {
  try {
    const found = await api.get(`/sessions/${state.session}/suggest`);
    if (!found) {
      say("model and masks agree wherever a click was made");
      return;
    }
    structures.select(found.structure, false);
    setTool(found.positive ? "positive" : "negative");
    scene.goTo(found.position_ras);
    say(`${found.structure}: look here (${found.volume_ml.toFixed(1)} mL hang on it); Enter clicks ${found.positive ? "+" : "−"}`);
  } catch (error) {
    await recover(error);
  }
}

async function draft(names) {
  try {
    const model = $("draft-model").value || undefined;
    const job = await api.send("POST", `/sessions/${state.session}/draft`, { structures: names, ...(model ? { model } : {}) });
    state.jobs.set(job.job_id, { ...job, text: "waiting for the model" });
    showWork();
  } catch (error) {
    await recover(error);
  }
}

async function cancel() {
  state.queue.length = 0;
  for (const id of state.jobs.keys()) await api.send("DELETE", `/jobs/${id}`).catch(recover);
  if (state.busy?.job) await api.send("DELETE", `/jobs/${state.busy.job}`).catch(recover);
}

// --- Brush

function startStroke(place, erase) {
  const name = structures.current;
  if (!name) {
    toast("Choose a structure first.", { kind: "note" });
    return null;
  }
  return { name, erase, axis: place.axis, path: [place.mm] };
}

function endStroke(stroke) {
  enqueue(async (signal) => {
    const body = { structure: stroke.name, kind: stroke.erase ? "erase" : "paint", path: stroke.path, radius_mm: state.radius, axis: stroke.axis };
    const header = await act("/strokes", body, signal);
    tell(header.change);
  });
}

// --- Events of the server

async function watch() {
  state.events?.abort();
  const controller = new AbortController();
  state.events = controller;
  for (let tries = 0; !controller.signal.aborted; tries++) {
    try {
      const opened = performance.now();
      const listening = api.events(state.session, happened, controller.signal);
      if (tries) {
        const before = state.revision;
        await refresh();
        connected(true);
        toast(state.revision === before ? "Connected again; nothing was lost." : "Connected again; the labels were loaded anew.");
      }
      await listening;
      if (performance.now() - opened > 5000) tries = 0;
    } catch (error) {
      if (error.name === "AbortError") return;
      if (error instanceof api.Problem && error.status === 404) {
        problem(error);
        return;
      }
    }
    connected(false);
    await new Promise((resolve) => setTimeout(resolve, 1000 * RETRY[Math.min(tries, RETRY.length - 1)]));
  }
}

function happened(event) {
  if (event.event === "job") {
    if (event.kind !== "draft" && state.busy) Object.assign(state.busy, { job: event.id, text: event.text, done: event.done, total: event.total });
    if (event.kind === "draft") followDraft(event);
    showWork();
  } else if (event.event === "changed" && event.revision > state.revision && !state.busy) {
    refresh().catch(recover);
  } else if (event.event === "bye") {
    connected(false, "The server was stopped. Your work is safe in its journal; start the server again to go on.");
  }
}

function followDraft(event) {
  if (["done", "failed", "cancelled"].includes(event.state)) {
    state.jobs.delete(event.id);
    if (event.state === "done") refresh().then(() => say(`draft: ${state.structures.length} structures`)).catch(recover);
    if (event.state === "failed") problem(Object.assign(new Error(event.problem?.detail ?? "The draft failed."), { code: event.problem?.code }));
    if (event.state === "cancelled") say("the draft was cancelled; nothing changed");
  } else {
    state.jobs.set(event.id, event);
  }
}

// --- What is shown

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
  const mine = state.clicks.filter((each) => each.structure === structures.current);
  $("clicks-box").hidden = mine.length === 0;
  $("clicks-of").textContent = `${structures.current} (${mine.length})`;
  $("clicks").replaceChildren(...mine.map((each) => {
    const item = document.createElement("li");
    item.textContent = `${each.positive ? "+" : "−"} ${each.position_ras.map((one) => one.toFixed(1)).join(", ")} mm`;
    return item;
  }));
  drawMarks();
}

function drawMarks() {
  if (!scene.loaded) return;
  const made = state.clicks.filter((each) => each.structure === structures.current).map((each) => ({ mm: each.position_ras, positive: each.positive, state: "" }));
  const all = [];
  for (const mark of [...made, ...(state.pending ?? [])]) {
    for (const [x, y] of scene.project(mark.mm)) {
      const dot = document.createElement("div");
      dot.className = `mark ${mark.state}`;
      dot.textContent = mark.positive ? "+" : "−";
      dot.style.left = `${x}px`;
      dot.style.top = `${y}px`;
      all.push(dot);
      if (mark.text && all.filter((each) => each.className === "mark-text").length === 0) {
        const words = document.createElement("div");
        words.className = "mark-text";
        words.textContent = mark.text;
        words.style.left = `${x + 12}px`;
        words.style.top = `${y + 8}px`;
        all.push(words);
      }
    }
  }
  $("marks").replaceChildren(...all);
}

function setPresets(scan) {
  const rows = [["as at first", scan.window], ...Object.entries(scan.presets)];
  $("preset").replaceChildren(...rows.map(([name, window]) => {
    const option = document.createElement("option");
    option.textContent = name;
    option.value = JSON.stringify(window);
    return option;
  }));
}

function setTool(name) {
  state.tool = name;
  for (const each of document.querySelectorAll(".tool[aria-pressed]")) {
    if (["positive", "negative", "paint", "erase", "look"].includes(each.dataset.do)) each.setAttribute("aria-pressed", String(each.dataset.do === name));
  }
}

// --- Pointer, keys, buttons

let press = null;
canvas.addEventListener("pointerdown", (event) => {
  press = { x: event.clientX, y: event.clientY, button: event.button, stroke: null };
  const painting = state.tool === "paint" || state.tool === "erase";
  if (!painting || event.button !== 0 || !scene.loaded || state.capabilities.read_only) return;
  const place = scene.at(event.clientX, event.clientY);
  if (place) press.stroke = startStroke(place, (state.tool === "erase") !== event.shiftKey);
}, { capture: true });
canvas.addEventListener("pointermove", (event) => {
  if (!press?.stroke) return;
  const place = scene.at(event.clientX, event.clientY);
  if (place && place.axis === press.stroke.axis) press.stroke.path.push(place.mm);
}, { capture: true });
canvas.addEventListener("pointerup", (event) => {
  const began = press;
  press = null;
  if (!began || !scene.loaded || began.button !== 0) return;
  if (began.stroke) {
    endStroke(began.stroke);
    return;
  }
  const far = Math.hypot(event.clientX - began.x, event.clientY - began.y) > MOVED;
  if (far || !["positive", "negative"].includes(state.tool)) return;
  const place = scene.at(event.clientX, event.clientY);
  if (!place) return;
  const other = event.shiftKey || event.altKey;
  scene.goTo(place.mm);
  clickAt(place, (state.tool === "positive") !== other);
});
// While a brush is held NiiVue must not move the crosshair with it.
for (const kind of ["mousedown", "mousemove"]) {
  canvas.addEventListener(kind, (event) => { if (press?.stroke) event.stopImmediatePropagation(); }, { capture: true });
}

function nextObject() {
  const taken = new Set(state.structures.map((each) => each.name));
  let number = 1;
  while (taken.has(`object ${number}`)) number++;
  structures.select(`object ${number}`);
}

const commands = {
  open: () => opening.show(),
  positive: () => setTool("positive"), negative: () => setTool("negative"), paint: () => setTool("paint"), erase: () => setTool("erase"),
  look: () => setTool("look"), toggle: () => setTool(state.tool === "positive" ? "negative" : "positive"),
  next: nextObject, reset: () => structures.current && clear(structures.current),
  undo: () => step("undo"), redo: () => step("redo"), suggest, cancel,
  lock: () => { const row = state.structures.find((each) => each.name === structures.current); if (row) appearance(row.name, { locked: !row.locked }); },
  visibility: () => { state.colourShown = !state.colourShown; scene.setOpacity(state.colourShown ? $("opacity").value / 100 : 0); },
  outline: () => { $("outline").checked = !$("outline").checked; scene.setOutline($("outline").checked); },
  fainter: () => opacity(-10), stronger: () => opacity(10),
  crosshair: () => { state.crosshair = !(state.crosshair ?? true); scene.setCrosshair(state.crosshair); },
  window: () => { $("preset").selectedIndex = 0; $("preset").dispatchEvent(new Event("change")); },
  axial: () => layout("axial"), coronal: () => layout("coronal"), sagittal: () => layout("sagittal"), all: () => layout("all"),
  render: () => layout(scene.layout === "render" ? "all" : "render"),
  layout: () => { const order = ["all", "axial", "coronal", "sagittal"]; layout(order[(order.indexOf(scene.layout) + 1) % order.length]); },
  here: () => { if (state.place) clickAt(state.place, state.tool !== "negative"); },
  help: () => { keys.table($("keys")); $("help-dialog").showModal(); },
};
const WITHOUT_SESSION = new Set(["open", "help"]);

function run(name) {
  if (!state.session && !WITHOUT_SESSION.has(name)) return;
  commands[name]?.();
}

function layout(name) {
  scene.setLayout(name);
  document.querySelector("[data-do=render]").setAttribute("aria-pressed", String(name === "render"));
  drawMarks();
}

function opacity(change) {
  $("opacity").value = Number($("opacity").value) + change;
  scene.setOpacity($("opacity").value / 100);
}

document.addEventListener("click", (event) => {
  const asked = event.target.closest("[data-do]");
  if (asked) run(asked.dataset.do);
  if (event.target.closest("[data-close]")) event.target.closest("dialog").close();
});
$("open").addEventListener("click", () => run("open"));
$("draft").addEventListener("submit", (event) => { event.preventDefault(); draft("everything"); });
$("preset").addEventListener("change", () => { const window = JSON.parse($("preset").value); scene.setWindow(window.low, window.high); });
$("opacity").addEventListener("input", () => scene.setOpacity($("opacity").value / 100));
$("outline").addEventListener("change", () => scene.setOutline($("outline").checked));
$("export").addEventListener("submit", async (event) => {
  event.preventDefault();
  try {
    say("writing the file…");
    const { name, blob } = await api.download(`/sessions/${state.session}/export?format=${$("format").value}`);
    const link = document.createElement("a");
    link.href = URL.createObjectURL(blob);
    link.download = name;
    link.click();
    URL.revokeObjectURL(link.href);
    say(`${name}: ${(blob.size / 1e6).toFixed(2)} MB`);
  } catch (error) {
    await recover(error);
  }
});
window.addEventListener("dragover", (event) => { event.preventDefault(); document.body.classList.add("dragging"); });
window.addEventListener("dragleave", () => document.body.classList.remove("dragging"));
window.addEventListener("drop", (event) => {
  event.preventDefault();
  document.body.classList.remove("dragging");
  const files = [...event.dataTransfer.files];
  if (files.length) opening.send(files);
});
canvas.addEventListener("webglcontextlost", (event) => {
  event.preventDefault();
  toast("The picture was lost by the graphics driver; it is built again.", { kind: "note" });
  setTimeout(() => location.reload(), 1000);
});
new ResizeObserver(() => { if (scene.loaded) setTimeout(drawMarks, 60); }).observe(canvas);
canvas.addEventListener("wheel", () => setTimeout(drawMarks, 30), { passive: true });

async function start() {
  if (!api.takeToken()) {
    connected(false, "Open the address that the server printed: it holds the token that lets you in.");
    return;
  }
  keys.listen(run, (by) => { if (scene.loaded) { scene.move(...by); } });
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
  structures.known = state.capabilities.structures;
  $("model").textContent = `${state.capabilities.model.model ?? ""}`;
  $("model").title = state.capabilities.licence ?? "";
  $("format").replaceChildren(...state.capabilities.formats.map((each) => new Option(each, each)));
  $("draft-model").replaceChildren(...state.capabilities.models.map((each) => new Option(each, each)));
  $("draft-model").hidden = state.capabilities.models.length < 2;
  const known = JSON.parse(sessionStorage.getItem("prosect-session") ?? "null");
  const given = new URLSearchParams(location.search);
  try {
    if (given.get("scan")) await openScan(await api.get(`/scans/${given.get("scan")}`));
    else if (given.get("session")) { const session = await api.get(`/sessions/${given.get("session")}`); await goOn(session.session_id, session.scan_id); }
    else if (known) await goOn(...known);
  } catch (error) {
    sessionStorage.removeItem("prosect-session");
    $("welcome").hidden = false;
    problem(error);
  }
}

// Tests and people who debug look at these; nothing in the page depends on them.
window.prosect = { state, scene, structures };
start();
