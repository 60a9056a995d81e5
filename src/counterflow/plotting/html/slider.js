"use strict";
const flow = JSON.parse(document.getElementById("flow").textContent);
const [canvas, slider, play, name, lattice] = ["plane", "layer", "play", "name", "lattice"].map((id) =>
  document.getElementById(id));
const pen = canvas.getContext("2d");
const last = flow.states.length - 1;
const images = flow.states.map((state) => {
  const image = new Image();
  image.onload = () => draw();
  image.src = state.density;
  return image;
});
const between = (a, b, share) => a.map((value, i) => value + share * (b[i] - value));

function draw() {
  const at = Number(slider.value), k = Math.min(Math.floor(at), last - 1), share = at - k;
  const [here, next] = [flow.states[k], flow.states[k + 1]];
  const view = between(here.window, next.window, share); // x low, x high, y low, y high
  const side = canvas.width, scale = side / (view[1] - view[0]), rise = side / (view[3] - view[2]);
  const x = (value) => (value - view[0]) * scale, y = (value) => side - (value - view[2]) * rise;
  pen.clearRect(0, 0, side, side);
  [[here, images[k], 1 - share], [next, images[k + 1], share]].forEach(([state, image, weight]) => {
    if (!image.complete || weight === 0) return;
    const [left, right, low, high] = state.window;
    pen.globalAlpha = weight;
    pen.drawImage(image, x(left), y(high), (right - left) * scale, (high - low) * rise);
  });
  pen.globalAlpha = 1;
  if (lattice.checked) drawLattice(between(here.lattice, next.lattice, share), x, y);
  drawPoints(between(here.points, next.points, share), x, y);
  const nearest = flow.states[Math.round(at)];
  name.textContent = share === 0 || share === 1 ? nearest.title : "on the way to: " + next.title;
  slider.setAttribute("aria-valuetext", name.textContent);
}

function drawLattice(crossings, x, y) {
  pen.strokeStyle = getComputedStyle(document.body).getPropertyValue("--line");
  pen.lineWidth = canvas.width / 1000;
  for (let start = 0; start < crossings.length; start += 2 * flow.steps) {
    pen.beginPath();
    for (let i = start; i < start + 2 * flow.steps; i += 2) pen.lineTo(x(crossings[i]), y(crossings[i + 1]));
    pen.stroke();
  }
}

function drawPoints(points, x, y) {
  const radius = canvas.width / 220;
  flow.colors.forEach((color, i) => {
    pen.fillStyle = color;
    pen.beginPath();
    pen.arc(x(points[2 * i]), y(points[2 * i + 1]), radius, 0, 2 * Math.PI);
    pen.fill();
  });
}

let playing = false, before = 0;
function step(now) {
  if (!playing) return;
  const moved = Number(slider.value) + Math.min(now - before, 100) / 1200; // a layer in 1.2 seconds
  before = now;
  slider.value = Math.min(moved, last);
  draw();
  if (moved >= last) stop(); else requestAnimationFrame(step);
}
function stop() {
  playing = false;
  play.textContent = "Play";
}
play.addEventListener("click", () => {
  if (playing) return stop();
  if (Number(slider.value) >= last) slider.value = 0;
  playing = true;
  play.textContent = "Stop";
  before = performance.now();
  requestAnimationFrame(step);
});
slider.addEventListener("input", () => { stop(); draw(); });
slider.addEventListener("change", () => { slider.value = Math.round(Number(slider.value)); draw(); });
slider.addEventListener("keydown", (event) => {
  const by = { ArrowLeft: -1, ArrowDown: -1, ArrowRight: 1, ArrowUp: 1 }[event.key];
  if (!by) return;
  event.preventDefault();
  stop();
  slider.value = Math.round(Number(slider.value)) + by;
  draw();
});
lattice.addEventListener("change", draw);
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", draw);
draw();
