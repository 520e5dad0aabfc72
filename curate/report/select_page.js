"use strict";
// The map, the slider and the list of rows of report.html. Texts of the data are only ever set as textContent.
const byId = (id) => document.getElementById(id);
const data = JSON.parse(byId("data").textContent);
const unpack = (text) => new Uint16Array(Uint8Array.from(atob(text), (c) => c.charCodeAt(0)).buffer);
const X = unpack(data.x), Y = unpack(data.y);
const colours = data.colours.map((one) => ({ ...one, codes: unpack(one.codes) }));
const rowOf = new Map(data.rows.filter((row) => row.point >= 0).map((row) => [row.point, row]));
const canvas = byId("map"), pen = canvas.getContext("2d"), slider = byId("picks"), search = byId("search");
const SHOWN = 50;
let view, box = null, pointed = -1, shown = SHOWN;

function add(parent, tag, text = "", name = "") {
  const element = document.createElement(tag);
  element.textContent = text;
  if (name) element.className = name;
  parent.append(element);
  return element;
}

// -- The map ----------------------------------------------------------------------------------------------------------

const ends = (values) => values.reduce(([low, high], v) => [Math.min(low, v), Math.max(high, v)], [65535, 0]);

function wholeMap() {
  const [left, right] = ends(X), [low, high] = ends(Y);
  view = { x: (left + right) / 2, y: (low + high) / 2, w: (right - left || 1) * 1.06, h: (high - low || 1) * 1.06 };
}

const scale = () => Math.min(canvas.clientWidth / view.w, canvas.clientHeight / view.h);
const across = (point) => canvas.clientWidth / 2 + (X[point] - view.x) * scale();
const down = (point) => canvas.clientHeight / 2 - (Y[point] - view.y) * scale();
const zoomed = () => byId("whole").disabled === false;

function inView(point) {
  const x = across(point), y = down(point);
  return point >= 0 && x >= 0 && y >= 0 && x <= canvas.clientWidth && y <= canvas.clientHeight;
}

function dot(point, radius, ring) {
  pen.beginPath();
  pen.arc(across(point), down(point), radius, 0, 7);
  if (ring) pen.stroke(); else pen.fill();
}

function draw() {
  const style = getComputedStyle(document.documentElement), named = (name) => style.getPropertyValue(name);
  const dense = devicePixelRatio || 1, chosen = colours[byId("colour").value];
  canvas.width = canvas.clientWidth * dense;
  canvas.height = canvas.clientHeight * dense;
  pen.scale(dense, dense);
  const soft = named("--soft"), accent = named("--c1");
  const side = X.length > 5000 ? 1.6 : 3, size = scale();
  const left = canvas.clientWidth / 2 - view.x * size, top = canvas.clientHeight / 2 + view.y * size;
  const shades = chosen && chosen.labels.map((_, code) => `hsl(${(code * 137.5) % 360} 60% 50%)`);
  pen.fillStyle = soft;
  pen.globalAlpha = chosen ? 0.75 : 0.45;
  for (let i = 0; i < X.length; i++) {
    const shade = chosen && shades[chosen.codes[i]], wide = shade ? 1.5 * side : side;
    if (chosen) pen.fillStyle = shade || soft;
    pen.fillRect(left + X[i] * size - wide / 2, top - Y[i] * size - wide / 2, wide, wide);
  }
  pen.globalAlpha = 1;
  pen.lineWidth = 1.5;
  pen.strokeStyle = named(chosen ? "--ink" : "--paper");
  for (let i = Math.min(+slider.value, data.picks) - 1; i >= 0; i--) {
    pen.fillStyle = (chosen && shades[chosen.codes[i]]) || accent;
    dot(i, data.picks > 2000 ? 2.5 : 4.5);
    dot(i, data.picks > 2000 ? 2.5 : 4.5, true);
  }
  pen.lineWidth = 2;
  pen.strokeStyle = named("--ink");
  if (pointed >= 0) dot(pointed, 9, true);
  if (box) pen.strokeRect(box.x, box.y, box.toX - box.x, box.toY - box.y);
}

function nearest(x, y) {
  let best = -1, least = 15 ** 2;
  for (let i = 0; i < X.length; i++) {
    const far = (across(i) - x) ** 2 + (down(i) - y) ** 2;
    if (far < least) [best, least] = [i, far];
  }
  return best;
}

function point(at) {
  pointed = at;
  const place = byId("told"), row = rowOf.get(at);
  place.replaceChildren();
  if (at >= 0) {
    const groups = colours.map((one) => one.labels[one.codes[at]] && `${one.name} ${one.labels[one.codes[at]]}`);
    add(place, "small", [row ? row.fate : at < data.picks ? `pick ${at + 1}` : "", ...groups].filter(Boolean).join(" · "));
    for (const text of row ? [row.prompt, row.response] : ["The text of this row is not in this file."]) {
      add(place, "p", text);
    }
  }
  draw();
}

function look(change) {
  Object.assign(view, change);
  byId("whole").disabled = !change;
  if (!change) wholeMap();
  shown = SHOWN;
  draw();
  list();
}

const zoom = (times) => look({ w: view.w / times, h: view.h / times });
const local = (event) => [event.clientX - canvas.getBoundingClientRect().x, event.clientY - canvas.getBoundingClientRect().y];

canvas.addEventListener("pointermove", (event) => {
  const [x, y] = local(event);
  if (box) [box.toX, box.toY] = [x, y];
  point(nearest(x, y));
});
canvas.addEventListener("pointerdown", (event) => {
  const [x, y] = local(event);
  if (event.pointerType === "mouse") {
    box = { x, y, toX: x, toY: y };
    canvas.setPointerCapture(event.pointerId);
  }
  point(nearest(x, y));
});
canvas.addEventListener("pointerup", () => {
  const drawn = box, size = scale();
  box = null;
  if (!drawn || Math.hypot(drawn.toX - drawn.x, drawn.toY - drawn.y) < 8) return draw();
  look({
    x: view.x + ((drawn.x + drawn.toX - canvas.clientWidth) / 2) / size,
    y: view.y - ((drawn.y + drawn.toY - canvas.clientHeight) / 2) / size,
    w: Math.max(Math.abs(drawn.toX - drawn.x), 4) / size,
    h: Math.max(Math.abs(drawn.toY - drawn.y), 4) / size,
  });
});
canvas.addEventListener("keydown", (event) => {
  const step = 0.2 * Math.min(view.w, view.h);
  const moves = {
    "+": () => zoom(1.5), "=": () => zoom(1.5), "-": () => zoom(1 / 1.5), Escape: () => look(null),
    ArrowLeft: () => look({ x: view.x - step }), ArrowRight: () => look({ x: view.x + step }),
    ArrowUp: () => look({ y: view.y + step }), ArrowDown: () => look({ y: view.y - step }),
  };
  if (!moves[event.key]) return;
  event.preventDefault();
  moves[event.key]();
});
byId("in").onclick = () => zoom(1.5);
byId("out").onclick = () => zoom(1 / 1.5);
byId("whole").onclick = () => look(null);
byId("colour").onchange = draw;

// -- The slider --------------------------------------------------------------------------------------------------------

const lines = [...document.querySelectorAll(".curve svg svg")].map((drawing) => {
  const line = document.createElementNS("http://www.w3.org/2000/svg", "line");
  line.setAttribute("class", "now");
  line.setAttribute("y2", drawing.getAttribute("height"));
  return drawing.appendChild(line);
});

function replay() {
  const picks = +slider.value, { sizes, selected, random, end } = data.curve;
  const at = sizes.findLastIndex((size) => size <= picks), said = (value) => value.toFixed(3);
  byId("k").textContent = `first ${picks.toLocaleString("en")} of ${(+slider.max).toLocaleString("en")}`;
  byId("covered").textContent = `After ${sizes[at].toLocaleString("en")} picks: mean distance ${said(selected[at].mean)}`
    + ` (random ${said(random[at].mean.mean)}), largest ${said(selected[at].radius)} (random ${said(random[at].radius.mean)})`;
  for (const line of lines) {
    const x = (line.parentNode.getAttribute("width") * Math.log(picks)) / Math.log(end);
    line.setAttribute("x1", x);
    line.setAttribute("x2", x);
  }
  point(picks <= data.picks ? picks - 1 : -1);
}

// -- The rows ----------------------------------------------------------------------------------------------------------

for (const row of data.rows) {
  row.all = [row.fate, row.group, row.prompt, row.response, row.evidence, row.id].join(" ").toLowerCase();
}

function list() {
  const words = search.value.toLowerCase(), kind = byId("kind").value, body = byId("rows");
  const found = data.rows.filter((row) => (kind === "" || row.kind === kind || row.reason === kind)
    && row.all.includes(words) && (!zoomed() || inView(row.point)));
  const where = zoomed() ? ", in this part of the map" : "";
  byId("found").textContent = `${found.length.toLocaleString("en")} of the ${data.rows.length.toLocaleString("en")} rows in this file${where}`;
  byId("more").hidden = found.length <= shown;
  body.replaceChildren();
  for (const row of found.slice(0, shown)) {
    const line = add(body, "tr"), fate = add(line, "td");
    const name = add(fate, row.point >= 0 ? "button" : "span", row.fate);
    if (row.point >= 0) name.onclick = () => { point(row.point); canvas.scrollIntoView({ block: "nearest" }); };
    add(line, "td", row.group);
    const texts = add(line, "td");
    add(texts, "p", row.prompt);
    add(texts, "p", row.response);
    if (row.evidence) add(add(texts, "small", "because of "), "mark", row.evidence);
    add(add(texts, "small", " "), "code", row.id.slice(0, 12));
  }
}

slider.oninput = replay;
search.oninput = byId("kind").onchange = () => { shown = SHOWN; list(); };
byId("more").onclick = () => { shown += SHOWN; list(); };
new ResizeObserver(draw).observe(canvas);
matchMedia("(prefers-color-scheme: dark)").onchange = draw;
wholeMap();
replay();
point(-1);
list();
