// The list of structures, and the box in which one is chosen or named.
import { icon } from "./icons.js";

const list = document.getElementById("structures");
const empty = document.getElementById("empty");
const search = document.getElementById("search");
const found = document.getElementById("found");
const SHOWN = 30;

/** The panel on the right. `act` does what its buttons ask for. */
export class Structures {
  constructor(act) {
    this.act = act;
    this.known = [];
    this.rows = [];
    this.selected = null;
    list.addEventListener("keydown", (event) => this.walk(event));
    search.addEventListener("input", () => this.offer());
    search.addEventListener("focus", () => this.offer());
    search.addEventListener("keydown", (event) => this.searchKey(event));
    search.addEventListener("blur", () => setTimeout(() => this.close(), 150));
  }

  get current() {
    return this.selected;
  }

  select(name, tell = true) {
    this.selected = name;
    this.render(this.rows);
    if (tell) this.act.selected(name);
  }

  render(rows) {
    this.rows = rows;
    // A structure without voxels and clicks was removed, or renamed; undo brings it back.
    const there = rows.filter((row) => row.voxels || row.clicks || row.locked);
    const named = there.some((row) => row.name === this.selected);
    const all = named || this.selected === null ? there : [...there, { name: this.selected, slot: 0, colour: "#888888", visible: true, voxels: 0, volume_ml: 0, clicks: 0, locked: false, fresh: true }];
    empty.hidden = all.length > 0;
    list.replaceChildren(...all.map((row) => this.row(row)));
    this.reveal();
  }

  /** Bring the row that is worked on into view. */
  reveal() {
    list.querySelector("[aria-selected=true]")?.scrollIntoView({ block: "nearest" });
  }

  /** Return a row of the grid; each of its parts is a cell, so that screen readers find the buttons in it. */
  row(row) {
    const item = document.createElement("div");
    const chosen = row.name === this.selected;
    item.className = "structure";
    item.role = "row";
    item.tabIndex = chosen ? 0 : -1;
    item.setAttribute("aria-selected", String(chosen));
    item.setAttribute("aria-label", describe(row));
    item.dataset.name = row.name;
    const label = nameOf(row), amount = amountOf(row);
    label.addEventListener("dblclick", () => this.edit(row.name));
    item.append(
      cell(this.swatch(row)), cell(label, "label-cell"), cell(amount),
      cell(this.toggle(row, row.visible, "eye", row.visible ? `Hide ${row.name}` : `Show ${row.name}`, () => this.act.visible(row.name, !row.visible))),
      cell(this.toggle(row, row.locked, "lock", row.locked ? `Unlock ${row.name}` : `Lock ${row.name}`, () => this.act.lock(row.name, !row.locked))),
      cell(this.plain("pencil", `Rename ${row.name} (F2)`, () => this.edit(row.name), row.fresh || row.locked), "extra"),
      cell(this.plain("cross", `Remove ${row.name} (R)`, () => this.act.clear(row.name), row.fresh || row.locked), "extra"),
    );
    item.addEventListener("click", (event) => {
      if (!event.target.closest("button, input")) this.select(row.name);
    });
    return item;
  }

  swatch(row) {
    const made = document.createElement("input");
    made.type = "color";
    made.className = "swatch";
    made.value = row.colour;
    made.disabled = Boolean(row.fresh);
    made.setAttribute("aria-label", `Colour of ${row.name}`);
    made.addEventListener("change", () => this.act.colour(row.name, made.value));
    return made;
  }

  /** Let a person type another name in place of the one in the list. */
  edit(name) {
    const row = this.rows.find((each) => each.name === name);
    const item = [...list.children].find((each) => each.dataset.name === name);
    if (!row || row.locked || !item) return;
    const field = document.createElement("input");
    field.type = "text";
    field.value = name;
    field.setAttribute("aria-label", `New name of ${name}`);
    const end = (take) => {
      const wanted = field.value.trim();
      this.render(this.rows);
      if (take && wanted && wanted !== name) this.act.rename(name, wanted);
    };
    field.addEventListener("keydown", (event) => {
      event.stopPropagation();
      if (event.key === "Enter" || event.key === "Escape") end(event.key === "Enter");
    });
    item.querySelector(".label").replaceWith(field);
    field.select();
    field.focus();
  }

  toggle(row, pressed, sign, title, run) {
    const made = this.plain(sign, title, run, row.fresh);
    made.setAttribute("aria-pressed", String(Boolean(pressed)));
    made.classList.toggle("off", !pressed);
    return made;
  }

  plain(sign, title, run, disabled = false) {
    const made = document.createElement("button");
    made.type = "button";
    made.append(icon(sign));
    made.title = title;
    made.setAttribute("aria-label", title);
    made.disabled = Boolean(disabled);
    made.addEventListener("click", run);
    return made;
  }

  walk(event) {
    if (event.key === "F2" && document.activeElement.dataset.name) {
      this.edit(document.activeElement.dataset.name);
      return;
    }
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (step === undefined && event.key !== " " && event.key !== "Enter") return;
    const items = [...list.children], at = items.indexOf(document.activeElement);
    if (at < 0) return;
    event.preventDefault();
    event.stopPropagation();
    if (step === undefined) {
      this.select(items[at].dataset.name);
      return;
    }
    const next = items[Math.min(Math.max(at + step, 0), items.length - 1)];
    this.select(next.dataset.name);
    [...list.children].find((each) => each.dataset.name === next.dataset.name)?.focus();
  }

  offer() {
    const text = search.value.trim(), lower = text.toLowerCase();
    const fits = this.known.filter((each) => each.supported && each.name.toLowerCase().includes(lower)).slice(0, SHOWN);
    const rows = fits.map((each) => ({ label: each.name, name: each.name }));
    if (text && !this.known.some((each) => each.name.toLowerCase() === lower)) rows.push({ label: `new object “${text}”`, name: text });
    found.replaceChildren(...rows.map((row, number) => {
      const item = document.createElement("li");
      item.role = "option";
      item.id = `found-${number}`;
      item.textContent = row.label;
      item.dataset.name = row.name;
      item.setAttribute("aria-selected", "false");
      item.addEventListener("mousedown", () => this.take(row.name));
      return item;
    }));
    found.hidden = rows.length === 0;
    search.setAttribute("aria-expanded", String(rows.length > 0));
    search.removeAttribute("aria-activedescendant");
  }

  searchKey(event) {
    const items = [...found.children], at = items.findIndex((each) => each.getAttribute("aria-selected") === "true");
    if (event.key === "Escape") {
      this.close();
      event.stopPropagation();
    } else if (event.key === "Enter") {
      event.preventDefault();
      const exact = items.find((each) => each.dataset.name.toLowerCase() === search.value.trim().toLowerCase());
      const chosen = items[at] ?? exact ?? items.at(-1);
      if (chosen) this.take(chosen.dataset.name);
    } else if (event.key === "ArrowDown" || event.key === "ArrowUp") {
      event.preventDefault();
      if (!items.length) return;
      const next = items[(at + (event.key === "ArrowDown" ? 1 : -1) + items.length) % items.length];
      items.forEach((each) => each.setAttribute("aria-selected", String(each === next)));
      search.setAttribute("aria-activedescendant", next.id);
      next.scrollIntoView({ block: "nearest" });
    }
  }

  take(name) {
    search.value = "";
    this.close();
    this.select(name);
    search.blur();
  }

  close() {
    found.hidden = true;
    search.setAttribute("aria-expanded", "false");
  }
}

function cell(content, kind = "") {
  const made = document.createElement("div");
  made.role = "gridcell";
  if (kind) made.className = kind;
  made.append(content);
  return made;
}

function nameOf(row) {
  const made = document.createElement("span"), number = document.createElement("span");
  made.className = "label";
  made.title = row.name;
  number.className = "number";
  number.ariaHidden = "true"; // screen readers would run it into the name
  number.textContent = row.slot ? `${row.slot}` : "new";
  made.append(number, row.name);
  return made;
}

function amountOf(row) {
  const made = document.createElement("span");
  made.className = "amount";
  made.textContent = row.voxels ? volume(row) : "–";
  return made;
}

function volume(row) {
  return `${row.volume_ml.toFixed(row.volume_ml < 10 ? 2 : 0)} mL`;
}

/** Return a row as a sentence for screen readers. */
function describe(row) {
  const facts = [row.name, row.voxels ? volume(row) : "nothing yet"];
  if (row.clicks) facts.push(`${row.clicks} click${row.clicks === 1 ? "" : "s"}`);
  if (row.locked) facts.push("locked");
  if (!row.visible) facts.push("hidden");
  return facts.join(", ");
}
