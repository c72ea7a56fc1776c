// The maps: what is stored, what is on view, its colours and their scale. `page.js` follows.
// Maps are stored as deflated bytes: a value is low * (high / low) ** (byte / 255).

const { kinds, names, photos, grid, block: ruleBlock, threshold, attention } = data;
const cells = grid[0] * grid[1];
const blocks = data.largest[0].length;

const all = (packed, unpack) => Promise.all(packed.map(unpack));
const unpack = async (layer) => ({
  ...layer,
  maps: await all(layer.maps, bytes),
  values: Float64Array.from({ length: 256 }, (_, q) => layer.low * (layer.high / layer.low) ** (q / 255)),
});
const layers = {};
const colours = {};
async function load() {
  layers.norm = await unpack(data.norms);
  layers.attention = await all(attention, unpack);
  layers.pca = await all(data.pca, bytes);
  for (const view of ["norm", "attention"]) colours[view] = await bytes(data.colours[view]);
}

const state = {
  view: "norm", image: 0, norm: ruleBlock, attention: attention.length - 1, head: 0,
  left: 0, right: kinds.length - 1,
};

// What is shown -----------------------------------------------------------------------------

/** The layer on view and where the map of an image begins in its bytes. */
function current(image) {
  if (state.view === "attention") {
    const layer = layers.attention[state.attention];
    return { layer, start: (image * (layer.heads + 1) + state.head) * cells };
  }
  return { layer: layers.norm, start: (state.norm * names.length + image) * cells };
}

function values(kind, image) {
  const { layer, start } = current(image);
  return Array.from(layer.maps[kind].subarray(start, start + cells), (q) => layer.values[q]);
}

/** The one colour scale of an image for all kinds of registers: from a value to a place in 0..1. */
function scale(image) {
  if (state.view === "pca") return {};
  if (state.view === "norm") {
    const { low, high } = layers.norm;
    const span = Math.log(high / low);
    return { place: (v) => Math.log(v / low) / span, ticks: logTicks(low, high), clipped: false };
  }
  const sorted = kinds.flatMap((_, kind) => values(kind, image)).sort((a, b) => a - b);
  const top = sorted[Math.floor(0.99 * (sorted.length - 1))] || 1;
  return { place: (v) => Math.min(v / top, 1), ticks: [0, top / 2, top], clipped: sorted.at(-1) > top };
}

function logTicks(low, high) {
  const ticks = [];
  for (let power = Math.floor(Math.log10(low)); power <= Math.log10(high); power += 1) {
    for (const digit of [1, 2, 5]) {
      const tick = digit * 10 ** power;
      if (tick >= low && tick <= high) ticks.push(tick);
    }
  }
  return ticks.length <= 9 ? ticks : ticks.filter((tick) => /^1/.test(String(tick * 1e9)));
}

const shown = (v) => (state.view === "attention" ? percent(v) : plain(v));
const patches = (n) => `${n} outlier ${n === 1 ? "patch" : "patches"}`;

// Drawing -----------------------------------------------------------------------------------

function paint(canvas, kind, image, { place }) {
  [canvas.height, canvas.width] = grid;
  const context = canvas.getContext("2d");
  const picture = context.createImageData(grid[1], grid[0]);
  if (state.view === "pca") {
    const rgb = layers.pca[kind];
    for (let i = 0; i < cells; i += 1) {
      const from = 3 * (image * cells + i);
      picture.data.set([rgb[from], rgb[from + 1], rgb[from + 2], 255], 4 * i);
    }
  } else {
    const map = colours[state.view];
    values(kind, image).forEach((value, i) => {
      const from = 3 * Math.round(255 * place(value));
      picture.data.set([map[from], map[from + 1], map[from + 2], 255], 4 * i);
    });
  }
  context.putImageData(picture, 0, 0);
}

function what() {
  if (state.view === "pca") return "First three principal components of the features as red, green, blue";
  if (state.view === "norm") return `L2 norm of the patches after block ${state.norm}`;
  const head = state.head ? `head ${state.head - 1}` : "mean over the heads";
  return `Share of the CLS token's attention, block ${layers.attention[state.attention].block}, ${head}`;
}

function drawScale({ place, ticks, clipped }) {
  $("scale").hidden = state.view === "pca";
  const notes = {
    norm: "logarithmic; one scale for all blocks and images, before and after",
    attention: "one scale before and after; its end is the 99th percentile of this image's maps",
    pca: "one basis for all images, before and after",
  };
  $("probe").hidden = state.view === "pca";
  $("probe").textContent = "Point at a patch to read its values.";
  $("unit").textContent = `${what()} (${notes[state.view]})`;
  if (state.view === "pca") return;
  const context = $("bar").getContext("2d");
  const strip = context.createImageData(256, 1);
  const map = colours[state.view];
  for (let q = 0; q < 256; q += 1) strip.data.set([...map.subarray(3 * q, 3 * q + 3), 255], 4 * q);
  context.putImageData(strip, 0, 0);
  $("ticks").replaceChildren(...ticks.map((value, i) => {
    const tick = document.createElement("span");
    tick.textContent = (clipped && i === ticks.length - 1 ? "≥ " : "") + shown(value);
    const at = place(value);
    tick.style.left = `${100 * at}%`;
    tick.className = at < 0.04 ? "first" : at > 0.96 ? "last" : "";
    return tick;
  }));
}
