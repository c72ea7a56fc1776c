"use strict";
// What every page has: its data, the bytes of maps, words of numbers, steps and colours.

const $ = (id) => document.getElementById(id);
const data = JSON.parse($("data").textContent);

async function bytes(packed) {
  const text = atob(packed);
  const deflated = new Uint8Array(text.length);
  for (let i = 0; i < text.length; i += 1) deflated[i] = text.charCodeAt(i);
  const stream = new Blob([deflated]).stream().pipeThrough(new DecompressionStream("deflate"));
  return new Uint8Array(await new Response(stream).arrayBuffer());
}

const plain = (v) => (v >= 99.5 ? v.toFixed(0) : String(Number(v.toPrecision(2))));
const percent = (v) => `${Number((100 * v).toPrecision(2))} %`;

/** Let buttons and keys go through `count` things, of which number `current()` is on view. */
function stepThrough(count, current, go) {
  $("previous").addEventListener("click", () => go(current() - 1));
  $("next").addEventListener("click", () => go(current() + 1));
  document.addEventListener("keydown", (event) => {
    const steps = { ArrowLeft: current() - 1, ArrowRight: current() + 1, Home: 0, End: count - 1 };
    const used = event.target.closest("input, select"); // their own arrow keys
    if (used || event.altKey || event.ctrlKey || event.metaKey || !(event.key in steps)) return;
    event.preventDefault();
    go(steps[event.key]);
  });
}

const dark = () => (document.documentElement.dataset.theme ?? (matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light")) === "dark";
const nameTheme = () => { $("theme").textContent = dark() ? "Light colours" : "Dark colours"; };
$("theme").addEventListener("click", () => {
  document.documentElement.dataset.theme = dark() ? "light" : "dark";
  nameTheme();
});
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", nameTheme);
nameTheme();
