// The dialog in which a scan is chosen: from the server's folders, from this computer, or a session to go on with.
import * as api from "./api.js";
import { button } from "./elements.js";

const dialog = document.getElementById("open-dialog");
const files = document.getElementById("files");
const recent = document.getElementById("recent");
const trail = document.getElementById("trail");
const trouble = document.getElementById("open-problem");
const beginning = document.getElementById("begin");
const OFFERED = 4; // scans and sessions before any dialog is opened

export class Opening {
  /** `opened` takes a scan, `resumed` a session and its scan's identity. */
  constructor(opened, resumed) {
    this.opened = opened;
    this.resumed = resumed;
    document.getElementById("file").addEventListener("change", (event) => this.send([...event.target.files]));
    document.getElementById("folder").addEventListener("change", (event) => this.send([...event.target.files]));
  }

  /** Offer on the empty page what is most likely wanted: sessions to go on with, and scans that the server was given. */
  async begin() {
    const { sessions } = await api.get("/sessions");
    const { roots } = await api.get("/files");
    const known = sessions.map((each) => entry(each.scan || "scan", `go on · ${facts(each)}`, () => this.go(each)));
    const given = roots.filter((each) => each.kind !== "folder").map(({ name }) => entry(name, "begin", () => this.open(name, "")));
    beginning.replaceChildren(...known.slice(0, OFFERED), ...given.slice(0, OFFERED));
    beginning.hidden = beginning.childElementCount === 0;
  }

  async show() {
    trouble.hidden = true;
    dialog.showModal();
    await this.attempt(async () => {
      const { roots } = await api.get("/files");
      await (roots.length === 1 && roots[0].kind === "folder" ? this.list(roots[0].name, "") : this.roots(roots));
      const { sessions } = await api.get("/sessions");
      recent.replaceChildren(...sessions.slice(0, 50).map((each) => entry(each.scan || "scan", facts(each), () => this.go(each))));
    });
  }

  roots(roots) {
    trail.textContent = "";
    files.replaceChildren(...roots.map(({ name, kind }) => kind === "folder"
      ? entry(`${name}/`, "", () => this.attempt(() => this.list(name, "")))
      : entry(name, "", () => this.open(name, ""))));
  }

  async list(root, path) {
    const { entries } = await api.get(`/files?root=${encodeURIComponent(root)}&path=${encodeURIComponent(path)}`);
    trail.textContent = [root, path].filter(Boolean).join("/");
    const rows = [];
    if (path) rows.push(entry("..", "", () => this.attempt(() => this.list(root, path.split("/").slice(0, -1).join("/")))));
    const dicom = entries.some((each) => each.kind === "dicom");
    if (dicom) rows.push(entry("Open this folder as a DICOM series", "", () => this.open(root, path)));
    for (const each of entries) {
      const below = path ? `${path}/${each.name}` : each.name;
      if (each.kind === "folder") rows.push(entry(`${each.name}/`, "", () => this.attempt(() => this.list(root, below))));
      else if (each.kind !== "file") rows.push(entry(each.name, size(each.bytes), () => this.open(root, below)));
    }
    files.replaceChildren(...rows);
  }

  async open(root, path, series) {
    await this.attempt(async () => {
      await this.finish(await api.send("POST", "/scans", series ? { root, path, series } : { root, path }));
    }, (chosen) => this.open(root, path, chosen));
  }

  async send(chosen, series = "") {
    if (!chosen.length) return;
    const query = series ? `?series=${encodeURIComponent(series)}` : "";
    await this.attempt(async () => this.finish(await api.upload(chosen, query)), (one) => this.send(chosen, one));
  }

  async go(each) {
    await this.attempt(async () => {
      await this.resumed(each.session_id, each.scan_id);
      dialog.close();
    });
  }

  async finish(scan) {
    dialog.close();
    await this.opened(scan);
  }

  /** Do something, and show what the server refuses where it was asked for. */
  async attempt(run, choose = null) {
    trouble.hidden = true;
    document.body.style.cursor = "progress";
    try {
      await run();
    } catch (error) {
      if (!dialog.open) dialog.showModal();
      trouble.hidden = false;
      trouble.textContent = `${error.message} [${error.code ?? "LOST"}]`;
      if (error.code === "DICOM_SEVERAL_SERIES" && choose) {
        for (const { series, facts: said } of seriesIn(error.message)) trouble.append(" ", button(said, () => choose(series)));
      }
    } finally {
      document.body.style.cursor = "";
    }
  }
}

/** Return the series that a refusal lists: what to ask for, and what to show of each. */
export function seriesIn(sentence) {
  const found = sentence.matchAll(/([\d.]+(?:#\d+)?) ('[^']*' [^;]*?)(?=; |\. Choose)/g);
  return [...found].map(([, series, facts]) => ({ series, facts }));
}

function entry(name, facts, run) {
  const item = document.createElement("li"), made = button("", run), right = document.createElement("span");
  right.className = "quiet";
  right.textContent = facts;
  made.append(document.createTextNode(name), right);
  item.append(made);
  return item;
}

function size(count) {
  return count > 1e6 ? `${(count / 1e6).toFixed(1)} MB` : `${Math.ceil(count / 1e3)} kB`;
}

/** Return when a session was begun, and by which viewer where it was another one. */
function facts({ created, dialect }) {
  return dialect === "native" ? when(created) : `${dialect} · ${when(created)}`;
}

function when(seconds) {
  return new Date(seconds * 1000).toLocaleString([], { dateStyle: "short", timeStyle: "short" });
}
