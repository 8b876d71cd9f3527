// What the pointer does on the picture, by the tool that is chosen: clicks, strokes, boxes and lassos. Mouse, pen and
// finger are treated alike.
import { drawBrush, drawOutline } from "./marks.js";

const MOVED = { mouse: 4, pen: 6, touch: 12 }; // pixels: a press that moves further is no click
const STEP = 1.15; // of the zoom, for each step of the wheel
const STROKES = new Set(["paint", "erase", "box", "lasso"]);

export class Tools {
  /** `scene` tells what is under the pointer; `asked` holds what to call: `click`, `stroke`, `draw`, `zoom`, `may`. */
  constructor(canvas, scene, asked) {
    this.canvas = canvas;
    this.scene = scene;
    this.asked = asked;
    this.name = "positive";
    this.radius = 6;
    this.press = null;
    this.fingers = new Map();
    canvas.addEventListener("wheel", (event) => this.wheel(event), { capture: true, passive: false });
    canvas.addEventListener("pointerdown", (event) => this.down(event), { capture: true });
    canvas.addEventListener("pointermove", (event) => this.move(event), { capture: true });
    canvas.addEventListener("pointerup", (event) => this.up(event));
    canvas.addEventListener("pointercancel", (event) => { this.fingers.delete(event.pointerId); this.stop(); });
    canvas.addEventListener("pointerleave", () => drawBrush(null));
    // While something is drawn NiiVue must not move the crosshair with it.
    for (const kind of ["mousedown", "mousemove", "touchstart", "touchmove"]) {
      canvas.addEventListener(kind, (event) => { if (this.press?.path) event.stopImmediatePropagation(); }, { capture: true });
    }
  }

  get draws() {
    return STROKES.has(this.name);
  }

  choose(name) {
    this.name = name;
    drawBrush(null);
    this.canvas.dataset.tool = name;
  }

  /** With Ctrl the wheel zooms, as in other viewers; without it NiiVue goes through the slices. */
  wheel(event) {
    if (!event.ctrlKey && !event.metaKey) return;
    event.preventDefault();
    event.stopImmediatePropagation();
    this.asked.zoom(event.deltaY < 0 ? STEP : 1 / STEP);
  }

  /** Return how far two fingers are apart; 0 where there are not two. */
  get spread() {
    const [one, two] = [...this.fingers.values()];
    return this.fingers.size === 2 ? Math.hypot(one.x - two.x, one.y - two.y) : 0;
  }

  down(event) {
    if (event.pointerType === "touch") this.fingers.set(event.pointerId, { x: event.clientX, y: event.clientY });
    if (this.fingers.size > 1) {
      this.stop(); // two fingers zoom and click nothing
      return;
    }
    this.press = { x: event.clientX, y: event.clientY, button: event.button, path: null };
    if (!this.draws || event.button !== 0 || !this.scene.loaded || !this.asked.may()) return;
    const place = this.scene.at(event.clientX, event.clientY);
    if (!place) return;
    this.canvas.setPointerCapture(event.pointerId);
    Object.assign(this.press, { axis: place.axis, path: [place.mm], pixels: [this.pixel(event)], other: event.shiftKey || event.altKey });
  }

  move(event) {
    if (this.fingers.has(event.pointerId)) {
      const before = this.spread;
      this.fingers.set(event.pointerId, { x: event.clientX, y: event.clientY });
      if (before) {
        this.asked.zoom(this.spread / before);
        return;
      }
    }
    this.showBrush(event);
    const press = this.press;
    if (!press?.path) return;
    const place = this.scene.at(event.clientX, event.clientY);
    if (!place || place.axis !== press.axis) return;
    press.path.push(place.mm);
    press.pixels.push(this.pixel(event));
    drawOutline(this.name === "paint" || this.name === "erase" ? "scribble" : this.name, press.pixels);
  }

  up(event) {
    this.fingers.delete(event.pointerId);
    const press = this.press;
    this.stop();
    if (!press || !this.scene.loaded || press.button !== 0) return;
    const far = Math.hypot(event.clientX - press.x, event.clientY - press.y) > (MOVED[event.pointerType] ?? 4);
    if (press.path) {
      this.finish(press, far);
      return;
    }
    if (far || !["positive", "negative"].includes(this.name)) return;
    const place = this.scene.at(event.clientX, event.clientY);
    if (place) this.asked.click(place, (this.name === "positive") !== (event.shiftKey || event.altKey));
  }

  finish(press, far) {
    if (this.name === "paint" || this.name === "erase") {
      this.asked.stroke({ path: press.path, axis: press.axis, erase: (this.name === "erase") !== press.other });
    } else if (far) {
      const path = this.name === "box" ? [press.path[0], press.path.at(-1)] : press.path;
      this.asked.draw({ kind: this.name, path, axis: press.axis, positive: !press.other });
    }
  }

  stop() {
    this.press = null;
    drawOutline("lasso", []);
  }

  showBrush(event) {
    const painting = this.name === "paint" || this.name === "erase";
    drawBrush(painting && this.scene.loaded ? this.pixel(event) : null, this.radius * this.scene.pixelsPerMm(event.clientX, event.clientY));
  }

  pixel(event) {
    const edge = this.canvas.getBoundingClientRect();
    return [event.clientX - edge.left, event.clientY - edge.top];
  }
}
