// What the page knows. One object, so that it can be looked at as a whole.
export const state = {
  capabilities: null, // what the server can do
  scan: null,
  session: null, // its identity
  revision: null, // which state of the session is painted
  structures: [],
  clicks: [], // of all structures, as the server has them
  pending: [], // clicks without an answer, and refusals that are still shown
  behind: [], // events of others that came while an action ran
  queue: [], // actions that wait
  busy: null, // the action that runs
  jobs: new Map(), // drafts that run, by identity
  ended: new Set(), // drafts that are done, failed or cancelled
  events: null, // ends listening
  place: null, // where the crosshair is
  coloured: true,
  crosshair: true,
};

export function readOnly() {
  return Boolean(state.capabilities?.read_only);
}
