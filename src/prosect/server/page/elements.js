// Small words for elements, used by every other file of the page.
export const $ = (id) => document.getElementById(id);

export function button(label, run) {
  const made = document.createElement("button");
  made.type = "button";
  made.textContent = label;
  made.addEventListener("click", run);
  return made;
}

/** Show whether a tool is chosen. */
export function press(name, on) {
  document.querySelector(`.tool[data-do=${name}]`)?.setAttribute("aria-pressed", String(on));
}

export function pressed(name) {
  return document.querySelector(`.tool[data-do=${name}]`)?.getAttribute("aria-pressed") === "true";
}
