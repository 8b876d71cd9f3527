// Actions on a session, one after another: each becomes a call to the server, and what comes back is painted.
import * as api from "./api.js";
import { connected, isLost, problem, say, toast } from "./messages.js";
import { readOnly, state } from "./state.js";

const QUEUE = 4; // that may wait
const SLOW_MS = 1000; // after which a bar is shown
const SHOWN_MS = 8000; // how long a refusal stays beside its click
const TRIES = 10; // of a click, while others change the session

export class Actions {
  /** `show` is the display. */
  constructor(show) {
    this.show = show;
  }

  /** Fetch labels and state: all of them, or those in a box of the scan where something changed. */
  async refresh(box = null, nothingYet = false) {
    const delta = await api.labels(state.session, box, nothingYet);
    this.show.delta(delta, box === null);
    await this.fetchClicks();
  }

  async fetchClicks() {
    state.clicks = (await api.get(`/sessions/${state.session}/clicks`)).clicks;
    this.show.clicks();
  }

  /** Do an action when those before it are done; at most a few wait. */
  enqueue(work) {
    if (readOnly()) {
      toast("This page only shows. Start it with --edit to change masks.", { kind: "note" });
      return false;
    }
    if (isLost()) {
      toast("The server cannot be reached; this was not sent. Try again when the page is connected.", { kind: "note" });
      return false;
    }
    if (state.queue.length >= QUEUE) {
      toast("Several clicks wait already; wait for the model.", { kind: "note" });
      return false;
    }
    state.queue.push(work);
    if (!state.busy) this.next();
    return true;
  }

  async next() {
    const work = state.queue.shift();
    if (!work) {
      state.busy = null;
      this.show.work();
      // What others did while this page was at work.
      for (const event of state.behind.splice(0)) {
        if (event.revision > state.revision) await this.refresh(event.box).catch((error) => this.recover(error));
      }
      return;
    }
    state.busy = { controller: new AbortController(), since: performance.now(), job: null };
    const slow = setTimeout(() => this.show.work(), SLOW_MS);
    try {
      await work(state.busy.controller.signal);
    } catch (error) {
      await this.recover(error);
    } finally {
      clearTimeout(slow);
      this.next();
    }
  }

  async recover(error) {
    if (error instanceof api.Lost) {
      this.comeBack().then(() => this.refresh()).catch((other) => this.recover(other));
    } else if (error.code === "REVISION_OLD") {
      toast("This session was changed elsewhere; the labels are loaded again.", { kind: "note" });
      await this.refresh();
    } else {
      problem(error);
    }
  }

  async act(path, body, signal) {
    const key = crypto.randomUUID();
    for (;;) {
      try {
        // The server refuses an action on another revision than ours, so nothing can have been missed in between.
        const delta = await api.act(`/sessions/${state.session}${path}`, body, state.revision, key, signal);
        this.show.delta(delta);
        return delta.header;
      } catch (error) {
        if (!(error instanceof api.Lost)) throw error;
        // Nobody knows whether it arrived, so it is sent again: the key and the revision keep it from being done twice.
        await this.comeBack(signal);
      }
    }
  }

  /** Wait until the server answers again; it is asked here too, because its stream of events may not have broken. */
  async comeBack(signal) {
    connected(false);
    for (let tries = 0; ; tries++) {
      await api.pause(tries);
      signal?.throwIfAborted();
      try {
        await api.get(`/sessions/${state.session}`);
        connected(true);
        return;
      } catch (error) {
        if (!(error instanceof api.Lost)) throw error;
      }
    }
  }

  /** Do what adds to a session whatever others did meanwhile: a click, a stroke. It is sent again on what they made. */
  async add(path, body, signal) {
    for (let tries = 1; ; tries++) {
      try {
        return await this.act(path, body, signal);
      } catch (error) {
        if (error.code !== "REVISION_OLD" || tries === TRIES) throw error;
        await this.refresh(); // what others did is seen before what this page adds to it
        signal.throwIfAborted();
      }
    }
  }

  /** Click, or draw something that becomes clicks; `mark` is shown meanwhile, and a refusal beside it. */
  prompt(path, body, mark) {
    const name = this.show.need();
    if (!name) return;
    Object.assign(mark, { state: "busy" });
    state.pending.push(mark);
    const accepted = this.enqueue(async (signal) => {
      try {
        const header = await this.add(path, { structure: name, ...body }, signal);
        this.forget(mark);
        tell(header.change);
        await this.fetchClicks();
      } catch (error) {
        if (!(error instanceof api.Problem) || error.code === "REVISION_OLD") {
          this.forget(mark);
          throw error;
        }
        Object.assign(mark, { state: "refused", text: error.message });
        this.show.marks();
        setTimeout(() => this.forget(mark), SHOWN_MS);
        say(error.message);
      }
    });
    if (!accepted) this.forget(mark);
    this.show.marks();
  }

  click(place, positive) {
    this.prompt("/clicks", { position: place.mm, space: "ras", positive }, { mm: place.mm, positive });
  }

  draw({ kind, path, axis, positive }) {
    const middle = [0, 1, 2].map((axis) => path.reduce((sum, each) => sum + each[axis], 0) / path.length);
    this.prompt("/shapes", { kind, path, axis, positive }, { mm: middle, positive });
  }

  paint({ path, axis, erase }, radius) {
    const name = this.show.need();
    if (!name) return;
    this.enqueue(async (signal) => {
      const body = { structure: name, kind: erase ? "erase" : "paint", path, radius_mm: radius, axis };
      const header = await this.add("/strokes", body, signal);
      tell(header.change);
      await this.fetchClicks();
    });
  }

  forget(mark) {
    state.pending = state.pending.filter((each) => each !== mark);
    this.show.marks();
  }

  step(what) {
    this.enqueue(async (signal) => {
      const header = await this.act(`/${what}`, {}, signal);
      tell(header.change);
      await this.fetchClicks();
    });
  }

  clear(name) {
    this.enqueue(async (signal) => {
      await this.act("/clear", { structure: name }, signal);
      await this.fetchClicks();
      say(`${name} is removed`);
      toast(`${name} is removed.`, { action: { label: "Undo", run: () => this.step("undo") } });
    });
  }

  rename(name, wanted) {
    this.enqueue(async (signal) => {
      await this.act("/rename", { structure: name, name: wanted }, signal);
      this.show.renamed(name, wanted);
      await this.fetchClicks();
    });
  }

  async appearance(name, change) {
    try {
      const said = await api.send("PUT", `/sessions/${state.session}/structures/${encodeURIComponent(name)}`, change);
      this.show.state(said);
    } catch (error) {
      await this.recover(error);
    }
  }

  async draft(structures, model) {
    try {
      const job = await api.send("POST", `/sessions/${state.session}/draft`, { structures, ...(model ? { model } : {}) });
      // Its events may have come before this reply, its last one too.
      if (!state.jobs.has(job.job_id) && !state.ended.has(job.job_id)) state.jobs.set(job.job_id, { ...job, text: "waiting for the model" });
      this.show.work();
    } catch (error) {
      await this.recover(error);
    }
  }

  async cancel() {
    state.queue.length = 0;
    if (isLost()) state.busy?.controller.abort(); // it waits for the server, which cannot be told
    for (const id of state.jobs.keys()) await api.send("DELETE", `/jobs/${id}`).catch((error) => this.recover(error));
    if (state.busy?.job) await api.send("DELETE", `/jobs/${state.busy.job}`).catch((error) => this.recover(error));
  }
}

function tell(change) {
  if (!change) return;
  const parts = [];
  if (change.added) parts.push(`${change.added.toLocaleString()} voxels added`);
  if (change.removed) parts.push(`${change.removed.toLocaleString()} removed`);
  say(`${change.structure}: ${parts.join(", ") || "nothing changed"} (${change.seconds.toFixed(1)} s)`);
}
