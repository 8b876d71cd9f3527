// Calls to the server: the token, problems, deltas and events. Nothing here knows the page.

/** A refusal of the server: its sentence and code. */
export class Problem extends Error {
  constructor(status, body) {
    super(body?.detail ?? `The server answered ${status}.`);
    this.status = status;
    this.code = body?.code ?? "HTTP_" + status;
  }
}

/** The server cannot be reached. */
export class Lost extends Error {}

const RETRY_S = [1, 2, 4, 8, 15];

let token = "";

/** Wait before the server is tried again, longer after each try in vain; `tries` counts from 0. */
export function pause(tries) {
  return new Promise((resolve) => setTimeout(resolve, 1000 * RETRY_S[Math.min(tries, RETRY_S.length - 1)]));
}

/** Take the token from the address, and take it out of the address, so that it is neither shared nor kept in a history. */
export function takeToken() {
  const given = new URLSearchParams(location.hash.slice(1)).get("t");
  if (given) {
    sessionStorage.setItem("prosect-token", given);
    history.replaceState(null, "", location.pathname + location.search);
  }
  token = sessionStorage.getItem("prosect-token") ?? "";
  return token !== "";
}

async function call(method, path, { json, body, headers = {}, signal } = {}) {
  const all = { Authorization: `Bearer ${token}`, ...headers };
  if (json !== undefined) {
    all["Content-Type"] = "application/json";
    body = JSON.stringify(json);
  }
  let reply;
  try {
    reply = await fetch("/api/v1" + path, { method, headers: all, body, signal });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Lost("The server cannot be reached.");
  }
  if (!reply.ok) {
    const said = await reply.json().catch(() => null);
    throw new Problem(reply.status, said);
  }
  return reply;
}

export async function get(path) {
  const reply = await call("GET", path);
  return reply.status === 204 ? null : reply.json();
}

export async function send(method, path, json) {
  const reply = await call(method, path, { json });
  return reply.status === 204 ? null : reply.json();
}

export async function bytes(path) {
  return (await call("GET", path)).arrayBuffer();
}

export async function download(path) {
  const reply = await call("GET", path);
  const said = reply.headers.get("content-disposition") ?? "";
  const name = /filename="?([^";]+)"?/.exec(said)?.[1] ?? "labels";
  return { name, blob: await reply.blob() };
}

/** Ask for an action and return its delta. With the same key a repeated request gets the same reply, not a second click. */
export async function act(path, json, revision, key, signal) {
  const headers = { "Idempotency-Key": key };
  if (revision !== null) headers["X-Revision"] = String(revision);
  const reply = await call("POST", path, { json, headers, signal });
  return parseDelta(await reply.arrayBuffer());
}

/** Return the labels of a box of the scan as stored, or of all of it; `tight` leaves out what is empty around them. */
export async function labels(session, box = null, tight = false) {
  const query = box ? `?box=${[...box.start, ...box.stop].join(",")}` : `?tight=${tight}`;
  return parseDelta(await bytes(`/sessions/${session}/labels${query}`));
}

/** Offer a model whose weights are a file of this computer. */
export async function addModel(file) {
  return (await call("POST", "/models", { body: file, headers: { "X-Filename": encodeURIComponent(file.name) } })).json();
}

export async function upload(files, query = "") {
  if (files.length === 1) {
    const reply = await call("POST", "/uploads" + query, { body: files[0], headers: { "X-Filename": encodeURIComponent(files[0].name) } });
    return reply.json();
  }
  const form = new FormData();
  for (const file of files) form.append("files", file, file.name);
  return (await call("POST", "/uploads" + query, { body: form })).json();
}

/** Return the header of a delta and the labels of its box, first axis fastest. */
export function parseDelta(buffer) {
  const view = new DataView(buffer);
  if (view.getUint32(0) !== 0x50444c31) throw new Error("This is no delta of prosect.");
  const length = view.getUint32(4, true);
  const header = JSON.parse(new TextDecoder().decode(new Uint8Array(buffer, 8, length)));
  return { header, labels: new Uint8Array(buffer, 8 + length) };
}

/** Call `tell` at each event of a session after a revision until `signal` ends it; return when the connection ends. */
export async function events(session, revision, tell, signal) {
  const reply = await call("GET", `/sessions/${session}/events`, { signal, headers: { "Last-Event-ID": String(revision ?? 0) } });
  const reader = reply.body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  for (;;) {
    const { value, done } = await reader.read();
    if (done) return;
    rest += value;
    const blocks = rest.split("\n\n");
    rest = blocks.pop();
    for (const block of blocks) {
      const data = block.split("\n").filter((line) => line.startsWith("data: ")).map((line) => line.slice(6)).join("");
      if (data) tell(JSON.parse(data));
    }
  }
}
