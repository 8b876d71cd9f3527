// Sentences for the person: the status line, toasts, and the banner of a lost connection.
import { button } from "./elements.js";

const status = document.getElementById("status");
const toasts = document.getElementById("toasts");
const banner = document.getElementById("banner");
const dot = document.getElementById("connection");
const SECONDS = 8;

export function say(text) {
  status.textContent = text;
}

/** Show a sentence for a while; a problem stays until it is closed. */
export function toast(text, { kind = "info", code = "", action = null } = {}) {
  const box = document.createElement("div");
  box.className = `toast ${kind}`;
  const words = document.createElement("div");
  words.textContent = text;
  if (code) {
    const small = document.createElement("span");
    small.className = "code";
    small.textContent = code;
    words.append(small);
  }
  box.append(words);
  if (action) box.append(button(action.label, () => { box.remove(); action.run(); }));
  box.append(button("Close", () => box.remove()));
  toasts.append(box);
  if (kind !== "problem") setTimeout(() => box.remove(), SECONDS * 1000);
  while (toasts.children.length > 4) toasts.firstChild.remove();
}

export function problem(error) {
  if (error.name === "AbortError") return;
  toast(error.message, { kind: "problem", code: error.code ?? "" });
}

export function isLost() {
  return !banner.hidden;
}

/** Show whether the server is there; return whether it was away until now. */
export function connected(yes, text = "") {
  const away = isLost();
  dot.classList.toggle("lost", !yes);
  dot.setAttribute("aria-label", yes ? "connected" : "connection lost");
  dot.title = yes ? "connected" : "connection lost";
  banner.hidden = yes;
  banner.textContent = yes ? "" : text || "The connection to the server is lost. Your work is safe in its journal; trying again…";
  return away;
}
