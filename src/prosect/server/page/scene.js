// The picture. Every call to NiiVue is here, so that another version of it is one file's work.
import { arrange } from "./arranging.js";
import { Niivue, NVImage, cmapper } from "./vendor/niivue.js";

const AXIAL = 0, CORONAL = 1, SAGITTAL = 2, RENDER = 4;
const INSET = 0.985; // at the edge of the canvas letters would be cut
const NAMES = ["axial", "coronal", "sagittal"];
const SINGLE = { axial: AXIAL, coronal: CORONAL, sagittal: SAGITTAL };
const QUARTERS = [[AXIAL, [0, 0, 0.5, 0.5]], [CORONAL, [0.5, 0, 0.5, 0.5]], [SAGITTAL, [0, 0.5, 0.5, 0.5]], [RENDER, [0.5, 0.5, 0.5, 0.5]]];
const NONE = 0, PAN = 3, CROSSHAIR = 8, WINDOW = 9; // what NiiVue calls its drags
const CLOSEST = 16; // times
const CHANGED = 255; // the slot that shows what the last action changed
const PROBE = 10; // mm, by which the scale of the picture is found
const FULL = 255, FAINT = 0; // what encloses others, such as the body, would veil the scan
const NEVER = "F24"; // no keyboard of today has it: NiiVue's own keys would clash with ours

export class Scene {
  /** `tell` holds what to call: `place` where the crosshair goes, `window` when a drag has changed the window. */
  constructor(canvas, tell) {
    this.canvas = canvas;
    this.layout = "all";
    this.tell = tell;
    this.outlined = false;
    this.crosshair = true;
    this.niivue = new Niivue({
      isRadiologicalConvention: true, isOrientationTextVisible: true, isCornerOrientationText: false, dragAndDropEnabled: false,
      clipPlaneHotKey: NEVER, cycleClipPlaneHotKey: NEVER, viewModeHotKey: NEVER, show3Dcrosshair: true, crosshairWidth: 1, crosshairWidthUnit: "mm", crosshairGap: 8,
      backColor: [0, 0, 0, 1], crosshairColor: [1, 0.75, 0.1, 0.9], logLevel: "error", multiplanarShowRender: 0, isSliceMM: false,
      loadingText: "", fontMinPx: 16, dragMode: WINDOW, sagittalNoseLeft: false, showAllOrientationMarkers: true,
    });
    this.dragWindow(false);
  }

  /** Let a drag change the window, or move the crosshair; with Shift it moves the picture. The right button is ours. */
  dragWindow(on) {
    this.niivue.setMouseEventConfig({ leftButton: { primary: on ? WINDOW : CROSSHAIR, withShift: PAN }, rightButton: NONE, centerButton: PAN });
    this.niivue.setTouchEventConfig({ singleTouch: on ? WINDOW : CROSSHAIR });
  }

  async start() {
    if (!document.createElement("canvas").getContext("webgl2")) return false;
    await this.niivue.attachToCanvas(this.canvas);
    this.niivue.onLocationChange = (place) => this.tell.place(this.place(place));
    this.niivue.onIntensityChange = () => this.tellWindow();
    // A drag changes the window without a word of NiiVue, so the numbers beside it would stay those of before.
    for (const kind of ["mousemove", "mouseup", "touchmove", "touchend"]) {
      this.canvas.addEventListener(kind, () => this.tellWindow());
    }
    return true;
  }

  /** Tell of a window that was changed on the picture. */
  tellWindow() {
    if (!this.loaded) return;
    const { cal_min: low, cal_max: high } = this.niivue.volumes[0];
    if (this.window.low === low && this.window.high === high) return;
    this.window = { low, high };
    this.tell.window(this.window);
  }

  get loaded() {
    return this.niivue.volumes.length > 0;
  }

  /** Show a scan: its display copy as a NIfTI file, whose axes are RAS already. */
  async show(buffer, window) {
    const nv = this.niivue;
    while (nv.volumes.length) nv.removeVolume(nv.volumes[0]);
    const image = await NVImage.loadFromUrl({ url: "scan.nii", buffer, name: "scan.nii", colormap: "gray", cal_min: window.low, cal_max: window.high });
    nv.addVolume(image);
    this.window = { low: image.cal_min, high: image.cal_max };
    const [, i, j, k] = nv.back.dims;
    this.shape = [i, j, k];
    this.makeLayer();
    this.last = null;
    this.colours = null;
    nv.scene.pan2Dxyzmm = [0, 0, 0, 1];
    this.setLayout(this.layout);
    nv.createOnLocationChange(); // the crosshair is somewhere before anybody has moved it
  }

  makeLayer() {
    const nv = this.niivue, gl = nv.gl, [i, j, k] = this.shape;
    nv.drawBitmap = new Uint8Array(i * j * k);
    nv.drawTexture = nv.r8Tex(nv.drawTexture, gl.TEXTURE7, nv.back.dims, true);
  }

  get bitmap() {
    return this.niivue.drawBitmap;
  }

  /** Paint the labels of a box, first axis fastest, into the map and onto the screen. */
  paint(box, labels) {
    const nv = this.niivue, [i, j] = this.shape;
    const [a, b, c] = box.start, [d, e, f] = box.stop, width = d - a;
    const before = new Uint8Array(labels.length);
    let from = 0;
    for (let z = c; z < f; z++) {
      for (let y = b; y < e; y++) {
        const at = a + i * (y + j * z);
        before.set(nv.drawBitmap.subarray(at, at + width), from);
        nv.drawBitmap.set(labels.subarray(from, from + width), at);
        from += width;
      }
    }
    this.last = { box, before, after: labels };
    this.upload(box, labels);
    this.draw();
  }

  /** Show in one colour what the last action changed, or the labels again. */
  showChange(on) {
    if (!this.last) return false;
    const { box, before, after } = this.last;
    const shown = on ? after.map((slot, at) => (slot === before[at] ? slot : CHANGED)) : after;
    this.upload(box, shown);
    this.draw();
    return true;
  }

  /** Bring labels of a box to the graphics card; the map that the page keeps stays as it is. */
  upload(box, labels) {
    const nv = this.niivue, gl = nv.gl;
    const [a, b, c] = box.start, [d, e, f] = box.stop;
    gl.activeTexture(gl.TEXTURE7);
    gl.bindTexture(gl.TEXTURE_3D, nv.drawTexture);
    gl.pixelStorei(gl.UNPACK_ALIGNMENT, 1);
    gl.texSubImage3D(gl.TEXTURE_3D, 0, a, b, c, d - a, e - b, f - c, gl.RED, gl.UNSIGNED_BYTE, labels);
  }

  /** Show each slot in its colour; hidden ones not at all, and what encloses others while it is the one selected. */
  colour(structures, selected) {
    const map = { R: [0], G: [0], B: [0], A: [0], I: [0], labels: [""] };
    for (let slot = 1; slot < 255; slot++) {
      const one = structures.find((each) => each.slot === slot);
      const [red, green, blue] = rgb(one?.colour ?? "#ffffff");
      map.R.push(red); map.G.push(green); map.B.push(blue);
      map.A.push(strength(one, selected)); map.I.push(slot); map.labels.push(one?.name ?? "");
    }
    map.R.push(255); map.G.push(255); map.B.push(255); map.A.push(255); map.I.push(CHANGED); map.labels.push("changed");
    const key = JSON.stringify([map.R, map.G, map.B, map.A]);
    if (key === this.colours || !this.loaded) return false;
    this.colours = key;
    this.niivue.drawLut = cmapper.makeDrawLut(map);
    this.niivue.updateGLVolume();
    return true;
  }

  setWindow(low, high) {
    const image = this.niivue.volumes[0];
    this.window = { low, high };
    image.cal_min = low;
    image.cal_max = high;
    this.niivue.updateGLVolume();
  }

  setOpacity(share) {
    this.niivue.setDrawOpacity(share);
  }

  setOutline(on) {
    this.outlined = on;
    this.niivue.opts.atlasOutline = on ? 1 : 0;
    this.niivue.drawRimOpacity = on ? 1 : -1;
    this.draw();
  }

  setLayout(name) {
    this.layout = name;
    const tiles = name === "all" ? this.planes() : name === "render" ? QUARTERS : [[SINGLE[name], [0, 0, 1, 1]]];
    this.niivue.setCustomLayout(tiles.map(([sliceType, position]) => ({ sliceType, position })));
    this.drawCrosshair();
  }

  /** Return the three planes, placed so that the picture is as large as the canvas allows. */
  planes() {
    const [, dx, dy, dz] = this.niivue.back?.pixDims ?? [0, 1, 1, 1];
    const [i, j, k] = this.shape ?? [1, 1, 1];
    const places = arrange([i * dx, j * dy, k * dz], this.canvas.clientWidth, this.canvas.clientHeight);
    return [AXIAL, CORONAL, SAGITTAL].map((type, number) => {
      const [left, top, width, height] = places[number];
      return [type, [left, top, width * INSET, height * INSET]];
    });
  }

  /** Fit the planes to a canvas that has another size now. */
  fit() {
    if (this.loaded && this.layout === "all") this.setLayout("all");
  }

  setCrosshair(visible) {
    this.crosshair = visible;
    this.drawCrosshair();
  }

  /** Draw the crosshair one pixel wide, whatever the voxels, the size of the picture and the zoom. */
  drawCrosshair() {
    if (!this.loaded || !this.shape) return;
    // A little more than a pixel would cover two of them in some places and one in others.
    this.niivue.setCrosshairWidth(this.crosshair ? 1 / this.scale() : 0);
  }

  /** Return how many CSS pixels a millimetre has on the first plane that is shown. */
  scale() {
    const nv = this.niivue, here = Array.from(nv.frac2mm(nv.scene.crosshairPos, 0, true)).slice(0, 3);
    for (const axis of [0, 1, 2]) {
      const there = here.map((each, other) => (other === axis ? each + PROBE : each));
      const [[one], [other]] = [this.project(here), this.project(there)];
      const pixels = one && other ? Math.hypot(one[0] - other[0], one[1] - other[1]) : 0;
      if (pixels > 0) return pixels / PROBE;
    }
    return 1; // nothing is drawn yet
  }

  draw() {
    this.niivue.drawScene();
  }

  /** Return where the crosshair is: mm, voxel of the display copy, and the label there. */
  place(said) {
    const nv = this.niivue;
    const mm = Array.from(nv.frac2mm(nv.scene.crosshairPos, 0, true)).slice(0, 3);
    const voxel = Array.from(nv.frac2vox(nv.scene.crosshairPos)).map((value, axis) => Math.min(Math.max(Math.round(value), 0), this.shape[axis] - 1));
    const [i, j] = this.shape;
    const slot = nv.drawBitmap ? nv.drawBitmap[voxel[0] + i * (voxel[1] + j * voxel[2])] : 0;
    return { mm, voxel, slot, value: said?.values?.[0]?.value ?? null };
  }

  /** Move the crosshair to mm. */
  goTo(mm) {
    const nv = this.niivue;
    nv.scene.crosshairPos = nv.mm2frac(mm, 0, true);
    nv.createOnLocationChange();
    this.draw();
  }

  /** Move the crosshair by voxels. */
  move(di, dj, dk) {
    this.niivue.moveCrosshairInVox(di, dj, dk);
  }

  /** Show the planes so many times as large, around the crosshair; 0 shows them whole again. */
  zoom(factor) {
    if (!this.loaded) return;
    const nv = this.niivue, [x, y, z, before] = nv.scene.pan2Dxyzmm;
    const after = factor === 0 ? 1 : Math.min(Math.max(before * factor, 1), CLOSEST);
    const here = nv.frac2mm(nv.scene.crosshairPos), moved = before - after;
    nv.setPan2Dxyzmm(after === 1 ? [0, 0, 0, 1] : [x + moved * here[0], y + moved * here[1], z + moved * here[2], after]);
    this.drawCrosshair();
  }

  /** Return the planes that are shown: where they lie in CSS pixels, and which of how many slices. */
  tiles() {
    const nv = this.niivue, scale = nv.uiData.dpr || 1, voxel = nv.frac2vox(nv.scene.crosshairPos), found = [];
    for (const { axCorSag, leftTopWidthHeight } of nv.screenSlices) {
      if (axCorSag > SAGITTAL) continue;
      const axis = [2, 1, 0][axCorSag], [left, top] = leftTopWidthHeight;
      found.push({ left: left / scale, top: top / scale, name: NAMES[axCorSag], slice: Math.round(voxel[axis]) + 1, of: this.shape[axis] });
    }
    return found;
  }

  /** Return the tile and place under a point of the canvas, or null where there is no plane. */
  at(clientX, clientY) {
    const nv = this.niivue, edge = this.canvas.getBoundingClientRect(), scale = nv.uiData.dpr || 1;
    const x = (clientX - edge.left) * scale, y = (clientY - edge.top) * scale;
    const tile = nv.screenSlices[nv.tileIndex(x, y)];
    if (!tile || tile.axCorSag > SAGITTAL) return null;
    const frac = nv.canvasPos2frac([x, y]);
    if (frac[0] < 0) return null;
    const voxel = Array.from(nv.frac2vox(frac)).map((value, axis) => Math.min(Math.max(Math.round(value), 0), this.shape[axis] - 1));
    return { axis: [2, 1, 0][tile.axCorSag], mm: Array.from(nv.frac2mm(frac, 0, true)).slice(0, 3), voxel };
  }

  /** Return how many CSS pixels a millimetre has under a point of the canvas; 0 where there is no plane. */
  pixelsPerMm(clientX, clientY) {
    const here = this.loaded ? this.at(clientX, clientY) : null;
    if (!here) return 0;
    for (const [dx, dy] of [[8, 0], [-8, 0], [0, 8], [0, -8]]) {
      const there = this.at(clientX + dx, clientY + dy);
      if (!there || there.axis !== here.axis) continue;
      const mm = Math.hypot(...there.mm.map((each, axis) => each - here.mm[axis]));
      if (mm > 0) return 8 / mm;
    }
    return 0;
  }

  /** Return where mm lie on the canvas in CSS pixels, once for each plane that shows them. */
  project(mm) {
    const nv = this.niivue, scale = nv.uiData.dpr || 1, found = [];
    const frac = nv.mm2frac(mm, 0, true), voxel = nv.frac2vox(frac), here = nv.frac2vox(nv.scene.crosshairPos);
    for (const [sliceType, axis] of [[AXIAL, 2], [CORONAL, 1], [SAGITTAL, 0]]) {
      if (Math.abs(Math.round(voxel[axis]) - Math.round(here[axis])) > 0) continue;
      const shown = nv.frac2canvasPosWithTile(frac, sliceType);
      if (shown?.pos) found.push([shown.pos[0] / scale, shown.pos[1] / scale]);
    }
    return found;
  }
}

function rgb(text) {
  return [1, 3, 5].map((at) => parseInt(text.slice(at, at + 2), 16));
}

/** How strongly a structure is painted; a slot that nothing has yet is ready for the next one. */
function strength(one, selected) {
  if (!one) return FULL;
  if (!one.visible) return 0;
  return one.encloses && one.name !== selected ? FAINT : FULL;
}
