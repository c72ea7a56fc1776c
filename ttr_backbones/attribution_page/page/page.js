// Answers without and with a register. Maps are stored as deflated bytes: a value is
// low * (high / low) ** ((byte - 1) / 254), and 0 stands for what the model does not see.

const { kinds, questions } = data;
const state = { question: 0, token: [0, 0] };
const colours = {};
const unpacked = new Map();

async function layers(index) {
  if (!unpacked.has(index)) {
    const found = {};
    for (const view of ["attention", "norm"]) {
      const { low, high, maps } = questions[index][view];
      found[view] = {
        low, high, maps: await Promise.all(maps.map(bytes)),
        values: Float64Array.from({ length: 256 }, (_, q) => low * (high / low) ** ((q - 1) / 254)),
      };
    }
    unpacked.set(index, found);
  }
  return unpacked.get(index);
}

function part(question, layer, kind, token) {
  const cells = question.size[0] * question.size[1];
  return layer.maps[kind].subarray(token * cells, (token + 1) * cells);
}

/** From a value to a place in 0..1, the same on both sides; attention ends at its 99th percentile. */
function scale(view, layer, parts) {
  if (view === "norm") {
    const span = Math.log(layer.high / layer.low);
    return { low: layer.low, high: layer.high, place: (v) => Math.log(v / layer.low) / span };
  }
  const sorted = parts.flatMap((bytes) => Array.from(bytes).filter((q) => q)).sort((a, b) => a - b);
  const high = layer.values[sorted[Math.floor(0.99 * (sorted.length - 1))] ?? 1];
  return { low: 0, high, place: (v) => Math.min(v / high, 1), clipped: layer.values[sorted.at(-1)] > high };
}

/** Where attention is low the photograph stays visible. */
function paint(canvas, size, map, layer, { place }, colour, faint = false) {
  [canvas.height, canvas.width] = size;
  const context = canvas.getContext("2d");
  const picture = context.createImageData(size[1], size[0]);
  const table = Array.from(layer.values, (value) => 3 * Math.round(255 * Math.min(Math.max(place(value), 0), 1)));
  map.forEach((q, i) => {
    if (!q) picture.data.set([0, 0, 0, 150], 4 * i);
    else {
      const opaque = faint ? 115 + (140 * Math.min(1, (2 * table[q]) / 765)) : 255;
      picture.data.set([colour[table[q]], colour[table[q] + 1], colour[table[q] + 2], opaque], 4 * i);
    }
  });
  context.putImageData(picture, 0, 0);
}

function drawBar(view, { low, high, clipped }) {
  const context = $(`bar-${view}`).getContext("2d");
  const strip = context.createImageData(256, 1);
  for (let q = 0; q < 256; q += 1) strip.data.set([...colours[view].subarray(3 * q, 3 * q + 3), 255], 4 * q);
  context.putImageData(strip, 0, 0);
  const middle = view === "norm" ? Math.sqrt(low * high) : high / 2;
  $(`ends-${view}`).replaceChildren(...[low, middle, high].map((value, i) => {
    const end = document.createElement("span");
    end.textContent = `${clipped && i === 2 ? "≥ " : ""}${plain(value)}`;
    return end;
  }));
}

function drawBoxes(holder, question) {
  holder.replaceChildren(...question.boxes.map(([x1, y1, x2, y2]) => {
    const box = document.createElement("span");
    Object.assign(box.style, {
      left: `${100 * x1}%`, top: `${100 * y1}%`, width: `${100 * (x2 - x1)}%`, height: `${100 * (y2 - y1)}%`,
    });
    return box;
  }));
}

function drawTokens(kind, question) {
  const words = ["mean", ...question.tokens[kind]];
  $(`side-${kind}`).querySelector(".tokens").replaceChildren(...words.map((word, i) => {
    const button = document.createElement("button");
    button.type = "button";
    button.textContent = word;
    button.className = i ? "" : "mean";
    button.setAttribute("aria-pressed", String(i === state.token[kind]));
    button.addEventListener("click", () => { state.token[kind] = i; draw(); });
    return button;
  }));
}

function drawHere(question) {
  const cells = Object.values(question.numbers);
  const rows = [
    ["Largest patch norm", (n) => plain(n.largest_norm)],
    ["Attention on the image", (n) => percent(n.on_image)],
    ["Of it, on outlier places", (n) => (n.on_outliers === null ? null : percent(n.on_outliers))],
    ["Entropy over the image", (n) => percent(n.entropy)],
    [`Peak on the ${question.noun}`, (n) => (n.pointing ? (n.pointing.hit ? "yes" : "no") : null)],
    ["Attention inside its boxes", (n) => (n.pointing ? percent(n.pointing.inside) : null)],
  ].filter(([, write]) => cells.some((n) => write(n) !== null));
  const line = (head, texts, tag) => {
    const row = document.createElement("tr");
    [head, ...texts].forEach((text, i) => {
      const cell = document.createElement(i ? tag : "th");
      cell.textContent = text ?? "–";
      if (tag === "th" && i) cell.className = `kind-${i - 1}`;
      row.append(cell);
    });
    return row;
  };
  const head = document.createElement("thead");
  head.append(line("This question", data.short, "th"));
  const body = document.createElement("tbody");
  body.append(...rows.map(([name, write]) => line(name, cells.map(write), "td")));
  $("here").replaceChildren(head, body);
}

async function draw() {
  const index = state.question;
  const question = questions[index];
  const found = await layers(index);
  if (index !== state.question) return;
  const scales = {
    attention: scale("attention", found.attention, kinds.map((_, kind) => part(question, found.attention, kind, state.token[kind]))),
    norm: scale("norm", found.norm),
  };
  $("prompt").textContent = question.prompt;
  $("photo").src = question.photo;
  $("photo").alt = question.name;
  $("position").textContent = `${index + 1} / ${questions.length}`;
  $("name").textContent = question.name;
  $("changes").textContent = question.changes ? "The register changes the answer." : "The answer stays the same.";
  $("changes").className = question.changes ? "yes" : "";
  for (const picture of document.querySelectorAll("main .picture")) picture.style.setProperty("--aspect", question.aspect);
  for (const holder of document.querySelectorAll(".boxes")) drawBoxes(holder, question);
  kinds.forEach((label, kind) => {
    const side = $(`side-${kind}`);
    const word = state.token[kind] ? `“${question.tokens[kind][state.token[kind] - 1]}”` : "the answer";
    for (const [view, caption] of [["attention", `Where ${word} looks${state.token[kind] ? "" : " (mean over its tokens)"}`], ["norm", "Patch norms of the tower"]]) {
      const holder = side.querySelector(`.${view}`);
      const canvas = holder.querySelector("canvas");
      const map = part(question, found[view], kind, view === "norm" ? 0 : state.token[kind]);
      holder.querySelector("img").src = question.photo;
      paint(canvas, question.size, map, found[view], scales[view], colours[view], view === "attention");
      canvas.setAttribute("aria-label", `${caption}, ${label}`);
      holder.nextElementSibling.textContent = caption;
    }
    drawTokens(kind, question);
  });
  for (const view of ["attention", "norm"]) drawBar(view, scales[view]);
  drawHere(question);
  $("opacity-name").textContent = `${$("opacity").value} %`;
  [...$("thumbnails").children].forEach((thumbnail, i) => {
    if (i === index) thumbnail.setAttribute("aria-current", "true");
    else thumbnail.removeAttribute("aria-current");
  });
}

function go(to) {
  state.question = (to + questions.length) % questions.length;
  state.token = [0, 0];
  return draw();
}

kinds.forEach((label, kind) => {
  const side = $(`side-${kind}`);
  side.append($("side").content.cloneNode(true));
  side.querySelector("h2").textContent = label;
  side.querySelector("h2").className = `kind-${kind}`;
  side.querySelector(".tokens").setAttribute("aria-label", `Answer ${label}`);
  for (const view of ["attention", "norm"]) {
    side.querySelector(`.${view} canvas`).addEventListener("pointermove", async (event) => {
      const question = questions[state.question];
      const box = event.target.getBoundingClientRect();
      const at = (where, from, all, size) => Math.min(Math.max(Math.floor(((where - from) / all) * size), 0), size - 1);
      const cell = at(event.clientY, box.top, box.height, question.size[0]) * question.size[1]
        + at(event.clientX, box.left, box.width, question.size[1]);
      const layer = (await layers(state.question))[view];
      const read = kinds.map((name, i) => {
        const q = part(question, layer, i, view === "norm" ? 0 : state.token[i])[cell];
        return `${name} ${q ? `${plain(layer.values[q])}${view === "norm" ? "" : "×"}` : "not seen"}`;
      });
      $("probe").textContent = `${view === "norm" ? "Norm" : "Attention"} here: ${read.join(", ")}`;
    });
  }
});

questions.forEach((question, i) => {
  const button = document.createElement("button");
  button.type = "button";
  button.setAttribute("aria-label", `Question ${i + 1}: ${question.name}, ${question.prompt}`);
  const picture = document.createElement("img");
  picture.src = question.photo;
  picture.alt = "";
  picture.style.setProperty("--aspect", question.aspect);
  const pair = document.createElement("div");
  pair.className = "pair";
  pair.append(document.createElement("canvas"), document.createElement("canvas"));
  for (const canvas of pair.children) canvas.style.setProperty("--aspect", question.aspect);
  button.append(picture, pair);
  button.addEventListener("click", () => go(i));
  $("thumbnails").append(button);
});

async function drawThumbnails() {
  for (const [i, question] of questions.entries()) {
    const { attention } = await layers(i);
    const parts = kinds.map((_, kind) => part(question, attention, kind, 0));
    const scaled = scale("attention", attention, parts);
    const holders = $("thumbnails").children[i].querySelectorAll("canvas");
    holders.forEach((canvas, kind) => paint(canvas, question.size, parts[kind], attention, scaled, colours.attention));
  }
}

$("probe").textContent = "Point at a map to read its values.";
$("opacity").addEventListener("input", () => {
  document.documentElement.style.setProperty("--opacity", $("opacity").value / 100);
  $("opacity-name").textContent = `${$("opacity").value} %`;
});
stepThrough(questions.length, () => state.question, go);

(async () => {
  for (const view of ["attention", "norm"]) colours[view] = await bytes(data.colours[view]);
  await draw();
  await drawThumbnails();
  document.documentElement.dataset.ready = "";
})();
