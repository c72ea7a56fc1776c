// The page around the maps of `maps.js`: chart, sentences, controls.

function svg(name, attributes, text) {
  const element = document.createElementNS("http://www.w3.org/2000/svg", name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  if (text !== undefined) element.textContent = text;
  return element;
}

/** Largest and median norm of the image's patches after every block. */
function drawChart() {
  const at = (table) => table.map((byBlock) => byBlock.map((byImage) => byImage[state.image]));
  const [largest, median] = [at(data.largest), at(data.median)];
  const all = [...largest, ...median].flat().filter((v) => v > 0);
  const [low, high] = [Math.min(...all) / 1.3, Math.max(...all) * 1.3];
  const x = (block) => 44 + (304 * block) / Math.max(blocks - 1, 1);
  const y = (v) => 170 - (160 * Math.log(Math.max(v, low) / low)) / Math.log(high / low);
  const line = (row, attributes) =>
    svg("polyline", { points: row.map((v, block) => `${x(block)},${y(v)}`).join(" "), ...attributes });
  const parts = logTicks(low, high).flatMap((v) => [
    svg("line", { class: "grid", x1: 44, x2: 348, y1: y(v), y2: y(v) }),
    svg("text", { x: 38, y: y(v) + 4, "text-anchor": "end" }, plain(v)),
  ]);
  const step = Math.ceil(blocks / 12);
  for (let block = 0; block < blocks; block += step) {
    parts.push(svg("text", { x: x(block), y: 187, "text-anchor": "middle" }, block));
  }
  parts.push(svg("text", { x: 196, y: 206, "text-anchor": "middle" }, "after block"));
  parts.push(svg("line", { class: "now", x1: x(state.norm), x2: x(state.norm), y1: 10, y2: 170 }));
  kinds.forEach((_, kind) => {
    parts.push(line(median[kind], { class: `median kind-${kind}` }), line(largest[kind], { class: `kind-${kind}` }));
  });
  $("chart").replaceChildren(...parts);
  $("chart").setAttribute("aria-label", `Patch norms after every block, image ${names[state.image]}`);
}

function draw() {
  const { image } = state;
  const colourScale = scale(image);
  for (const [id, kind] of [["before", state.left], ["after", state.right]]) {
    paint($(id), kind, image, colourScale);
    $(id).setAttribute("aria-label", `${what()}, ${kinds[kind].label}, image ${names[image]}`);
    $(`${id}-name`).textContent = kinds[kind].label;
    $(`${id}-name`).className = `kind-${kind}`;
  }
  drawScale(colourScale);
  drawChart();
  for (const id of ["photo", "under"]) $(id).src = photos[image];
  $("photo").alt = names[image];
  $("position").textContent = `${image + 1} / ${names.length}`;
  $("name").textContent = names[image];
  $("reading").replaceChildren(`After block ${state.norm} of image ${image + 1}: `, ...kinds.flatMap(({ label }, kind) => {
    const part = document.createElement("strong");
    part.className = `kind-${kind}`;
    const count = state.norm === ruleBlock && threshold !== null ? `, ${patches(data.outliers[kind][image])}` : "";
    part.textContent = `largest norm ${plain(data.largest[kind][state.norm][image])}${count}`;
    return [kind ? "; " : "", part, ` ${label}`];
  }), ".");
  const sides = kinds.length < 2 ? [state.left] : [state.left, state.right];
  $("rows").textContent = ["Each image: the photograph", ...sides.map((kind) => `its map ${kinds[kind].label}`)].join(", ");
  [...$("thumbnails").children].forEach((thumbnail, i) => {
    const ownScale = scale(i);
    sides.forEach((kind, side) => paint(thumbnail.children[side + 1], kind, i, ownScale));
    if (i === image) thumbnail.setAttribute("aria-current", "true");
    else thumbnail.removeAttribute("aria-current");
  });
  drawControls();
}

function drawControls() {
  const { view } = state;
  const slider = $("block");
  $("block-control").hidden = view === "pca" || (view === "attention" && attention.length < 2);
  slider.max = (view === "attention" ? attention.length : blocks) - 1;
  slider.value = view === "attention" ? state.attention : state.norm;
  $("block-name").textContent =
    view === "attention" ? attention[state.attention]?.block : `${state.norm} of 0–${blocks - 1}`;
  slider.setAttribute("aria-valuetext", `block ${$("block-name").textContent}`);
  $("head-control").hidden = view !== "attention";
  $("opacity-name").textContent = `${$("opacity").value} %`;
}

// Controls ----------------------------------------------------------------------------------

function go(image) {
  state.image = (image + names.length) % names.length;
  draw();
  const strip = $("thumbnails");
  const thumbnail = strip.children[state.image];
  strip.scrollLeft = thumbnail.offsetLeft - strip.offsetLeft - (strip.clientWidth - thumbnail.clientWidth) / 2;
}

function fill(select, labels, chosen) {
  select.replaceChildren(...labels.map((label, i) => new Option(label, i, false, i === chosen)));
}

function choose(id, key) {
  $(id).addEventListener("change", () => { state[key] = Number($(id).value); draw(); });
}

$("has-attention").hidden = !attention.length;
if (attention.length) fill($("head"), ["mean", ...Array(attention[0].heads).keys()], 0);
for (const [id, chosen] of [["left", state.left], ["right", state.right]]) {
  fill($(id), kinds.map(({ label }) => label), chosen);
  $(id).parentElement.hidden = kinds.length < 3;
  choose(id, id);
}
choose("head", "head");
$("views").addEventListener("change", (event) => { state.view = event.target.value; draw(); });
$("block").addEventListener("input", () => {
  state[state.view === "attention" ? "attention" : "norm"] = Number($("block").value);
  draw();
});
$("split").addEventListener("input", () => {
  $("compare").style.setProperty("--split", `${$("split").value}%`);
});
$("opacity").addEventListener("input", () => {
  $("compare").style.setProperty("--opacity", $("opacity").value / 100);
  drawControls();
});
$("split").addEventListener("pointermove", (event) => {
  if (state.view === "pca") return;
  const box = $("compare").getBoundingClientRect();
  const inside = (at, size) => Math.min(Math.max(Math.floor(at * size), 0), size - 1);
  const row = inside((event.clientY - box.top) / box.height, grid[0]);
  const column = inside((event.clientX - box.left) / box.width, grid[1]);
  const read = kinds.map(({ label }, kind) => `${label} ${shown(values(kind, state.image)[row * grid[1] + column])}`);
  $("probe").textContent = `Patch in row ${row}, column ${column}: ${read.join(", ")}`;
});
stepThrough(names.length, () => state.image, go);

names.forEach((name, i) => {
  const button = document.createElement("button");
  button.type = "button";
  button.setAttribute("aria-label", `Image ${i + 1}: ${name}`);
  const picture = document.createElement("img");
  picture.src = photos[i];
  picture.alt = "";
  button.append(picture, ...kinds.slice(0, 2).map(() => document.createElement("canvas")));
  button.addEventListener("click", () => go(i));
  $("thumbnails").append(button);
});
for (const picture of document.querySelectorAll(".picture, #thumbnails")) {
  picture.style.setProperty("--aspect", data.aspect);
}
const legend = kinds.map(({ label }, kind) => {
  const entry = document.createElement("span");
  entry.className = `kind-${kind}`;
  entry.textContent = `${label}  `;
  return entry;
});
$("legend").replaceChildren("Patch norm of this image, largest (line) and median (dots): ", ...legend);
if (kinds.length < 2) { // nothing to compare with
  $("compare").style.setProperty("--split", "100%");
  for (const id of ["split", "handle", "after-name"]) $(id).hidden = true;
}
load().then(() => {
  draw();
  document.documentElement.dataset.ready = "";
});
