// Opening scans and sessions: what is asked of the server until a picture is there.
import * as api from "./api.js";
import { $ } from "./elements.js";
import { problem, say, toast } from "./messages.js";
import { readOnly, state } from "./state.js";
import { watch } from "./watching.js";

const OPEN = "prosect-session"; // where this tab remembers what it had open
const WEIGHTS = /\.(safetensors|pt|pth)$/i;

export class Sessions {
  constructor({ scene, structures, display, actions }) {
    Object.assign(this, { scene, structures, display, actions });
  }

  async openScan(scan) {
    // The picture need not wait for the session, nor the session for the picture.
    const picture = pictureOf(scan);
    const session = await api.send("POST", "/sessions", { scan_id: scan.scan_id });
    await this.enter(scan, session, picture);
  }

  async goOn(sessionId, scanId) {
    const scan = await api.get(`/scans/${scanId}`);
    const picture = pictureOf(scan);
    const session = await api.get(`/sessions/${sessionId}`);
    await this.enter(scan, session, picture);
    const done = session.revision;
    if (done && !readOnly()) toast(`Restored: ${done} action${done === 1 ? "" : "s"}.`);
  }

  async enter(scan, session, picture) {
    $("welcome").hidden = true;
    Object.assign(state, { scan, session: session.session_id, revision: session.revision, queue: [], clicks: [], pending: [], behind: [] });
    sessionStorage.setItem(OPEN, JSON.stringify([session.session_id, scan.scan_id]));
    this.display.facts(scan);
    await this.scene.show(await picture, scan.window);
    this.display.presets(scan);
    this.structures.selected = null;
    await this.actions.refresh(null, true);
    for (const note of scan.notes) toast(note, { kind: "note" });
    this.display.ready();
    watch(this.actions, this.display);
    say(`${scan.name} is open`);
    $("canvas").focus();
  }

  /** Open what the address names, or what this tab had open before it was loaded again; else `offer` what there is. */
  async openAsAsked(offer) {
    const given = new URLSearchParams(location.search);
    const known = JSON.parse(sessionStorage.getItem(OPEN) ?? "null");
    try {
      if (given.get("scan")) {
        await this.openScan(await api.get(`/scans/${given.get("scan")}`));
      } else if (given.get("session")) {
        const session = await api.get(`/sessions/${given.get("session")}`);
        await this.goOn(session.session_id, session.scan_id);
      } else if (known) {
        await this.goOn(...known);
      } else {
        await offer();
      }
    } catch (error) {
      sessionStorage.removeItem(OPEN);
      $("welcome").hidden = false;
      problem(error);
    }
  }

  /** Take files that were dropped or chosen: weights become a model, anything else is opened as a scan by `send`. */
  async take(files, send) {
    const weights = files.length === 1 && WEIGHTS.test(files[0].name) ? files[0] : null;
    if (!weights) {
      await send(files);
      return;
    }
    try {
      say(`loading ${weights.name}…`);
      const said = await api.addModel(weights);
      this.display.models(said.models);
      $("draft-model").value = said.model;
      toast(`${said.model} can draft now.`);
    } catch (error) {
      problem(error);
    }
  }
}

function pictureOf(scan) {
  say("loading the scan…");
  const picture = api.bytes(`/scans/${scan.scan_id}/view.nii`);
  picture.catch(() => {}); // what went wrong is told where it is waited for
  return picture;
}
