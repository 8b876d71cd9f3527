// What lies over the picture: clicks that were made, clicks that wait, refusals beside them, and what is being drawn.
const layer = document.getElementById("marks");
const LINE = "http://www.w3.org/2000/svg";

/** Show clicks, each `{mm, positive, state, text}`, where `project` says that mm are; and the number of each slice. */
export function drawClicks(clicks, project, tiles) {
  const shown = tiles.map(caption);
  let said = false;
  for (const click of clicks) {
    for (const [x, y] of project(click.mm)) {
      shown.push(dot(click, x, y));
      if (click.text && !said) {
        shown.push(words(click.text, x, y));
        said = true; // once, not in every plane
      }
    }
  }
  layer.replaceChildren(...shown);
}

function caption({ left, top, name, slice, of }) {
  const made = document.createElement("div");
  made.className = "caption";
  made.textContent = `${name} ${slice}/${of}`;
  place(made, left + 6, top + 4);
  return made;
}

function dot(click, x, y) {
  const made = document.createElement("div");
  made.className = `mark ${click.positive ? "plus" : "minus"} ${click.state}`;
  made.textContent = click.positive ? "+" : "−";
  place(made, x, y);
  return made;
}

function words(text, x, y) {
  const made = document.createElement("div");
  made.className = "mark-text";
  made.textContent = text;
  // Near the right edge it would be cut off.
  const left = x + 280 > layer.clientWidth ? x - 280 : x + 12;
  place(made, left, y + 10);
  return made;
}

function place(element, x, y) {
  element.style.left = `${x}px`;
  element.style.top = `${y}px`;
}

/** Show the outline of a box or lasso while it is drawn; `points` are in pixels of the canvas. */
export function drawOutline(kind, points) {
  layer.querySelector("svg")?.remove();
  if (points.length < 2) return;
  const svg = document.createElementNS(LINE, "svg");
  svg.setAttribute("class", "outline");
  const corners = kind === "box" ? rectangle(points[0], points.at(-1)) : points;
  const shape = document.createElementNS(LINE, kind === "scribble" ? "polyline" : "polygon");
  shape.setAttribute("points", corners.map((each) => each.join(",")).join(" "));
  svg.append(shape);
  layer.append(svg);
}

function rectangle([a, b], [c, d]) {
  return [[a, b], [c, b], [c, d], [a, d]];
}

/** Show how large the brush is where the pointer is; null hides it. */
export function drawBrush(at, radius) {
  layer.querySelector(".brush")?.remove();
  if (!at) return;
  const ring = document.createElement("div");
  ring.className = "brush";
  ring.style.width = ring.style.height = `${2 * radius}px`;
  place(ring, at[0] - radius, at[1] - radius);
  layer.append(ring);
}

/** Show a name beside the pointer; null hides it. */
export function drawName(at, text) {
  layer.querySelector(".pointer-name")?.remove();
  if (!at || !text) return;
  const made = document.createElement("div");
  made.className = "pointer-name";
  made.textContent = text;
  place(made, at[0] + 14, at[1] + 12);
  layer.append(made);
}
