// What the page shows of its state: labels, facts of the scan, clicks, work, and where the pointer is.
import { $, button, press, pressed } from "./elements.js";
import { drawClicks } from "./marks.js";
import { say, toast } from "./messages.js";
import { readOnly, state } from "./state.js";

const SLOW_MS = 1000;
const AS_AT_FIRST = "as at first";
const BY_HAND = "by hand";
const FORMATS = {
  "nii.gz": "NIfTI (.nii.gz)", nrrd: "NRRD (.nrrd)", "seg.nrrd": "Slicer segmentation (.seg.nrrd)", mha: "MetaImage (.mha)",
  "masks.zip": "a mask each (.zip)", "label_tables.zip": "with label tables (.zip)", "statistics.csv": "statistics (.csv)", "session.json": "session (.json)",
  dicom_seg: "DICOM SEG", dicom_rtstruct: "DICOM RTSTRUCT", dicom_sr: "DICOM SEG and report",
};

export class Display {
  /** `reload` fetches what changed elsewhere. */
  constructor(scene, structures, reload) {
    this.scene = scene;
    this.structures = structures;
    this.reload = reload;
  }

  /** Paint a delta; `whole` says that it is all there is. */
  delta({ header, labels }, whole = false) {
    this.take(header);
    if (pressed("change")) this.scene.showChange(false); // what is white lies elsewhere than what is painted now
    if (header.box && labels.length) this.scene.paint(header.box, labels);
    else if (whole) this.scene.draw();
    // What is loaded as a whole is no change, and of an action that changed nothing there is none to show.
    if (whole || !header.box) this.scene.last = null;
    press("change", false);
    for (const [what, able] of [["undo", header.can_undo], ["redo", header.can_redo]]) {
      document.querySelector(`[data-do=${what}]`).disabled = !able || readOnly();
    }
    const first = header.structures.find((each) => each.voxels);
    if (this.structures.selected === null && first) this.structures.selected = first.name;
    this.structures.render(header.structures);
    this.draftable();
    for (const note of header.notes ?? []) toast(note, { kind: "note" });
    this.marks();
  }

  /** Take names, colours and locks; where masks have changed as well they are loaded. */
  state(said) {
    if (said.revision > state.revision + 1) {
      this.reload();
      return;
    }
    this.take(said);
    this.structures.render(said.structures);
    this.scene.draw();
  }

  take(said) {
    state.revision = said.revision;
    state.structures = said.structures;
    this.recolour();
  }

  /** Colours depend on what is selected, too. */
  recolour() {
    if (this.scene.colour(state.structures, this.structures.current)) this.scene.draw();
  }

  /** Return the structure that is selected; where there is none say what to do. */
  need() {
    if (this.structures.current) return this.structures.current;
    toast("Choose a structure, or type the name of a new object first.", { kind: "note" });
    $("search").focus();
    return null;
  }

  renamed(before, after) {
    if (this.structures.current === before) this.structures.select(after, false);
  }

  /** Offer a draft of the selected structure where a model may know it. */
  draftable() {
    const known = this.structures.known.find((each) => each.name === this.structures.current);
    $("draft-one").disabled = !known?.supported || readOnly() || state.capabilities.models.length === 0;
  }

  server(capabilities) {
    this.structures.known = capabilities.structures;
    document.body.classList.toggle("read-only", readOnly());
    $("model").textContent = capabilities.model.model ?? "";
    $("model").title = capabilities.licence ?? "";
    $("format").replaceChildren(...capabilities.formats.map(formatOption));
    this.models(capabilities.models);
  }

  models(models) {
    state.capabilities.models = models;
    $("draft-model").replaceChildren(...models.map((each) => new Option(each, each)));
    $("draft-model").title = models.join(", "); // long names are cut off in the list
    $("models-row").hidden = readOnly();
  }

  facts(scan) {
    // A DICOM series can be exported as DICOM, too.
    $("format").replaceChildren(...scan.formats.map(formatOption));
    $("scan-name").textContent = scan.name;
    document.title = `${scan.name} – prosect`;
    const facts = [scan.modality || (scan.hounsfield ? "CT" : ""), scan.shape.join(" × "), scan.spacing_mm.map((each) => each.toFixed(2)).join(" × ") + " mm"];
    if (scan.view.step.some((each) => each > 1)) facts.push(`shown reduced, every ${scan.view.step.join(", ")}th voxel`);
    $("scan-facts").textContent = facts.filter(Boolean).join(" · ");
  }

  /** Enable what needs a scan. */
  ready() {
    for (const element of [$("preset"), $("format"), $("export").querySelector("button")]) element.disabled = false;
    $("search").disabled = readOnly();
    $("draft").querySelector("button").disabled = readOnly() || state.capabilities.models.length === 0;
    $("save").hidden = readOnly() || !state.capabilities.saves;
  }

  /** Offer the windows that suit a scan; the one that it is shown with is chosen. */
  presets(scan) {
    const named = Object.entries(scan.presets);
    const first = named.find(([, window]) => window.low === scan.window.low && window.high === scan.window.high);
    const rows = first ? named : [[AS_AT_FIRST, scan.window], ...named];
    $("preset").replaceChildren(...rows.map(([name, window]) => new Option(name, JSON.stringify(window))), new Option(BY_HAND, ""));
    $("preset").options[rows.length].disabled = true;
    $("preset").selectedIndex = first ? named.indexOf(first) : 0;
    this.window(scan.window);
  }

  /** Say which intensities are black and white, as width and level. */
  window({ low, high }) {
    $("window-values").textContent = `W ${Math.round(high - low)} L ${Math.round((high + low) / 2)}`;
  }

  windowByHand(window) {
    $("preset").selectedIndex = $("preset").options.length - 1;
    this.window(window);
  }

  work() {
    const job = [...state.jobs.values()][0];
    const late = state.busy && performance.now() - state.busy.since > SLOW_MS - 50;
    const shown = job ?? (late ? state.busy : null);
    $("work").hidden = !shown;
    if (!shown) return;
    $("work-text").textContent = !shown.text || shown.text === "running" ? "the model is at work" : shown.text;
    if (shown.total) $("work-bar").value = shown.done / shown.total;
    else $("work-bar").removeAttribute("value");
  }

  place(place) {
    const [i, j, k] = place.voxel;
    const here = state.structures.find((each) => each.slot === place.slot)?.name ?? "";
    const mm = place.mm.map((each) => each.toFixed(1)).join(", ");
    const value = place.value === null ? "" : ` · ${Math.round(place.value * 100) / 100}${state.scan?.hounsfield ? " HU" : ""}`;
    $("place").textContent = `${mm} mm · voxel ${i}, ${j}, ${k}${value}${here ? ` · ${here}` : ""}`;
    this.marks();
  }

  clicks() {
    const mine = this.clicksOfCurrent();
    $("clicks-box").hidden = mine.length === 0;
    this.structures.reveal(); // the list has less room now
    $("clicks-of").textContent = `${this.structures.current} (${mine.length})`;
    $("clicks").replaceChildren(...mine.map((each) => {
      const item = document.createElement("li");
      const where = each.position_ras.map((one) => one.toFixed(1)).join(", ");
      item.append(button(`${each.positive ? "+" : "−"} ${where} mm`, () => this.scene.goTo(each.position_ras)));
      return item;
    }));
    this.marks();
  }

  clicksOfCurrent() {
    return state.clicks.filter((each) => each.structure === this.structures.current);
  }

  marks() {
    if (!this.scene.loaded) return;
    const made = this.clicksOfCurrent().map((each) => ({ mm: each.position_ras, positive: each.positive, state: "" }));
    drawClicks([...made, ...state.pending], (mm) => this.scene.project(mm), this.scene.tiles());
  }

  /** Say that another structure is the one that is worked on. */
  selected(name) {
    say(`${name} is selected`);
    this.recolour();
    this.draftable();
    this.clicks();
  }
}

function formatOption(format) {
  return new Option(FORMATS[format] ?? format, format);
}
