// How three planes of a scan share a canvas. Only arithmetic, so that it can be tested without a picture.

const SHARES = [0.34, 0.4, 0.45, 0.5, 0.55, 0.6, 0.65, 0.7];

/** Return `[left, top, width, height]` in shares of the canvas for the axial, coronal and sagittal plane. */
export function arrange([x, y, z], width, height) {
  const sizes = [[x, y], [x, z], [y, z]]; // mm of each plane, across and down
  let best = null;
  for (const places of candidates()) {
    const score = shown(sizes, places, width, height);
    if (!best || score > best.score) best = { score, places };
  }
  return best.places;
}

function* candidates() {
  for (const share of SHARES) {
    const rest = 1 - share;
    for (const split of SHARES) {
      // The axial plane on the left and the others above each other, or on top and the others beside each other.
      yield [[0, 0, share, 1], [share, 0, rest, split], [share, split, rest, 1 - split]];
      yield [[0, 0, 1, share], [0, share, split, rest], [split, share, 1 - split, rest]];
    }
  }
}

/** Return how much of the canvas shows something; a plane that would be tiny counts against it. */
function shown(sizes, places, width, height) {
  let area = 0, least = Infinity;
  sizes.forEach(([across, down], number) => {
    const [, , w, h] = places[number];
    const scale = Math.min((w * width) / across, (h * height) / down);
    area += across * down * scale * scale;
    least = Math.min(least, scale);
  });
  const evenly = least * Math.sqrt(sizes[0][0] * sizes[0][1]);
  return area / (width * height) + evenly / Math.sqrt(width * height);
}
