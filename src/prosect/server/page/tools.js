// What the pointer does on the picture, by the tool that is chosen: clicks, strokes, boxes and lassos. Mouse, pen and
// finger are treated alike.
import { drawBrush, drawName, drawOutline } from "./marks.js";

const MOVED = { mouse: 4, pen: 6, touch: 12 }; // pixels: a press that moves further is no click
const STEP = 1.15; // of the zoom, for each step of the wheel
const NOTCH = 50; // pixels of rolling that are a slice: a notch of a mouse is more, a touchpad sends less many times
const LINE = 40; // pixels, for browsers that count lines
const CHOICE = 12; // pixels that two fingers move before it is clear whether they zoom or go through the slices
const FINGER_STEP = 16; // pixels of two fingers that are a slice
const MANY = 10; // slices, with Shift
const RIGHT = 2; // the button that zooms
const DOUBLE = 120; // pixels of a drag with it that show the picture twice or half as large
const LOOKS = new Set(["look", "windowing"]);
const STROKES = new Set(["paint", "erase", "box", "lasso"]);

export class Tools {
  /** `scene` tells what is under the pointer; `asked` holds what to call: `click`, `stroke`, `draw`, `zoom`, `slices`, `enlarge`, `may`, `named`. */
  constructor(canvas, scene, asked) {
    this.canvas = canvas;
    this.scene = scene;
    this.asked = asked;
    this.name = "positive";
    this.radius = 6;
    this.press = null;
    this.fingers = new Map();
    this.pair = null; // what two fingers do
    this.rolled = 0;
    canvas.addEventListener("wheel", (event) => this.wheel(event), { capture: true, passive: false });
    canvas.addEventListener("pointerdown", (event) => this.down(event), { capture: true });
    canvas.addEventListener("pointermove", (event) => this.move(event), { capture: true });
    canvas.addEventListener("pointerup", (event) => this.up(event));
    canvas.addEventListener("pointercancel", (event) => { this.lift(event); this.stop(); });
    canvas.addEventListener("pointerleave", () => { drawBrush(null); drawName(null); });
    // While something is drawn, or two fingers do what we do with them, NiiVue must not move anything with it.
    for (const kind of ["mousedown", "mousemove", "touchstart", "touchmove"]) {
      canvas.addEventListener(kind, (event) => { if (this.owns) event.stopImmediatePropagation(); }, { capture: true });
    }
    canvas.addEventListener("dblclick", (event) => this.twice(event));
    canvas.addEventListener("contextmenu", (event) => event.preventDefault());
  }

  get draws() {
    return STROKES.has(this.name);
  }

  /** Whether what the pointer does is ours and not NiiVue's. */
  get owns() {
    return Boolean(this.press?.path || this.press?.button === RIGHT || this.pair);
  }

  choose(name) {
    this.name = name;
    drawBrush(null);
    this.canvas.dataset.tool = name;
  }

  /** The wheel goes through the slices of the plane under it, with Shift by ten; with Ctrl it zooms, as elsewhere. */
  wheel(event) {
    const zooms = event.ctrlKey || event.metaKey;
    const plane = this.scene.loaded ? this.scene.at(event.clientX, event.clientY) : null;
    if (!zooms && !plane) return; // over the 3D view the wheel is NiiVue's
    event.preventDefault();
    event.stopImmediatePropagation();
    // With Shift browsers turn the wheel sideways.
    const delta = (event.deltaY || event.deltaX) * (event.deltaMode === 1 ? LINE : 1);
    if (zooms) {
      this.asked.zoom(delta < 0 ? STEP : 1 / STEP);
      return;
    }
    this.rolled += Math.abs(delta) < NOTCH ? delta : Math.sign(delta) * NOTCH;
    const steps = Math.trunc(this.rolled / NOTCH);
    this.rolled -= steps * NOTCH;
    if (steps) this.asked.slices(plane.axis, -steps * (event.shiftKey ? MANY : 1));
  }

  /** Twice on a plane enlarges it, or shows all again; with a tool that clicks, it is two clicks. */
  twice(event) {
    if (this.scene.loaded && LOOKS.has(this.name)) this.asked.enlarge(this.scene.at(event.clientX, event.clientY)?.axis);
  }

  /** Return how far two fingers are apart, where their middle is, and which plane is under it; null without two. */
  get grip() {
    if (this.fingers.size !== 2) return null;
    const [one, two] = [...this.fingers.values()], x = (one.x + two.x) / 2, y = (one.y + two.y) / 2;
    return { spread: Math.hypot(one.x - two.x, one.y - two.y), y, axis: this.scene.loaded ? this.scene.at(x, y)?.axis : undefined };
  }

  /** Two fingers zoom when they part, and go through the slices when they move together. */
  pinch() {
    const pair = this.pair, grip = this.grip;
    if (!pair || !grip) return;
    if (!pair.does && Math.abs(grip.spread - pair.spread) > CHOICE) pair.does = "zoom";
    if (!pair.does && Math.abs(grip.y - pair.y) > CHOICE) pair.does = "slices";
    if (pair.does === "zoom") {
      this.asked.zoom(grip.spread / pair.spread);
      pair.spread = grip.spread;
    } else if (pair.does === "slices" && pair.axis !== undefined) {
      const steps = Math.trunc((pair.y - grip.y) / FINGER_STEP);
      pair.y -= steps * FINGER_STEP;
      if (steps) this.asked.slices(pair.axis, steps);
    }
  }

  lift(event) {
    this.fingers.delete(event.pointerId);
    // What the first finger of a pair did before the second came is no press, nor is what the last one does.
    if (this.fingers.size === 0) this.pair = null;
  }

  down(event) {
    if (event.pointerType === "touch") this.fingers.set(event.pointerId, { x: event.clientX, y: event.clientY });
    if (this.fingers.size > 1) {
      this.stop(); // two fingers click nothing
      this.pair = this.grip ? { ...this.grip, does: "" } : { does: "nothing" };
      return;
    }
    this.press = { x: event.clientX, y: event.clientY, button: event.button, path: null };
    if (event.button === RIGHT) this.canvas.setPointerCapture(event.pointerId);
    if (!this.draws || event.button !== 0 || !this.scene.loaded || !this.asked.may()) return;
    const place = this.scene.at(event.clientX, event.clientY);
    if (!place) return;
    this.canvas.setPointerCapture(event.pointerId);
    Object.assign(this.press, { axis: place.axis, path: [place.mm], pixels: [this.pixel(event)], other: event.shiftKey || event.altKey });
  }

  move(event) {
    if (this.fingers.has(event.pointerId)) {
      this.fingers.set(event.pointerId, { x: event.clientX, y: event.clientY });
      if (this.pair) {
        this.pinch();
        return;
      }
    }
    this.showBrush(event);
    this.showName(event);
    const press = this.press;
    if (press?.button === RIGHT) {
      this.asked.zoom(2 ** ((press.y - event.clientY) / DOUBLE)); // up is closer
      press.y = event.clientY;
    }
    if (!press?.path) return;
    const place = this.scene.at(event.clientX, event.clientY);
    if (!place || place.axis !== press.axis) return;
    press.path.push(place.mm);
    press.pixels.push(this.pixel(event));
    drawOutline(this.name === "paint" || this.name === "erase" ? "scribble" : this.name, press.pixels);
  }

  up(event) {
    this.lift(event);
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

  /** Show beside the pointer what a click would change. A finger hides what lies beside it. */
  showName(event) {
    const acts = !LOOKS.has(this.name) && event.pointerType !== "touch" && this.scene.loaded && this.asked.may();
    drawName(acts && this.scene.at(event.clientX, event.clientY) ? this.pixel(event) : null, this.asked.named() ?? "");
  }

  pixel(event) {
    const edge = this.canvas.getBoundingClientRect();
    return [event.clientX - edge.left, event.clientY - edge.top];
  }
}
