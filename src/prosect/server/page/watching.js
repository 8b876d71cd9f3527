// The server's events: what others do, how far work is, and whether the server is still there.
import * as api from "./api.js";
import { connected, problem, say, toast } from "./messages.js";
import { state } from "./state.js";

const STEADY_MS = 5000; // a connection that lasted so long begins to count from the first retry again

/** Listen to the session that is open until another one is, and come back after every break. */
export async function watch(actions, show) {
  state.events?.abort();
  const controller = new AbortController();
  state.events = controller;
  for (let tries = 0; !controller.signal.aborted; tries++) {
    const opened = performance.now();
    try {
      // With the revision that is painted the server says first what was missed, or that nothing was.
      await api.events(state.session, state.revision, (event) => happened(event, actions, show), controller.signal);
    } catch (error) {
      if (error.name === "AbortError") return;
      if (error instanceof api.Problem && error.status === 404) {
        problem(error);
        return;
      }
    }
    if (performance.now() - opened > STEADY_MS) tries = 0;
    connected(false);
    await api.pause(tries);
  }
}

async function happened(event, actions, show) {
  if (event.event === "job") {
    follow(event);
    show.work();
  } else if (event.event === "bye") {
    connected(false, "The server was stopped. Your work is safe in its journal; start the server again to go on.");
  } else if (event.event === "here") {
    if (connected(true)) toast("Connected again; nothing was lost.");
  } else if (event.event === "changed") {
    const away = connected(true);
    await catchUp(event, actions, show).catch((error) => actions.recover(error));
    if (away) toast("Connected again; what had changed meanwhile was loaded.");
  }
}

/** Take over what changed elsewhere. What this page did itself is painted already. */
async function catchUp(event, actions, show) {
  if (state.busy) state.behind.push(event);
  if (state.busy || event.revision < state.revision) return;
  if (event.revision === state.revision || !event.box) {
    show.state(await api.get(`/sessions/${state.session}`));
  } else {
    await actions.refresh(event.box);
  }
}

function follow(event) {
  if (event.kind !== "draft") {
    if (state.busy) Object.assign(state.busy, { job: event.id, text: event.text, done: event.done, total: event.total });
    return;
  }
  if (event.state === "queued" || event.state === "running") {
    state.jobs.set(event.id, event);
    return;
  }
  state.jobs.delete(event.id);
  state.ended.add(event.id);
  if (event.state === "done") say("the draft is there");
  if (event.state === "failed") problem(Object.assign(new Error(event.problem?.detail ?? "The draft failed."), { code: event.problem?.code }));
  if (event.state === "cancelled") say("the draft was cancelled; nothing changed");
}
