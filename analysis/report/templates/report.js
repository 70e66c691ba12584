"use strict";
const data = JSON.parse(document.getElementById("data").textContent);
const at = (id) => document.getElementById(id);
const SVG = "http://www.w3.org/2000/svg";

function node(name, attributes = {}, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  made.append(...children);
  return made;
}

function shape(name, attributes = {}, text = "") {
  const made = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  made.textContent = text;
  return made;
}

/* Tables: a header sorts up, then down, then as printed; dashes stay last. */

function sortBy(header) {
  const table = header.closest("table"), body = table.tBodies[0];
  const column = [...header.parentNode.children].indexOf(header);
  const next = { none: "ascending", ascending: "descending", descending: "none" }[header.getAttribute("aria-sort")];
  table.querySelectorAll("thead th").forEach((other) => other.setAttribute("aria-sort", "none"));
  header.setAttribute("aria-sort", next);
  const rows = [...body.rows].sort((a, b) => a.dataset.place - b.dataset.place);
  if (next !== "none") {
    const sign = next === "ascending" ? 1 : -1;
    rows.sort((a, b) => compare(a.cells[column], b.cells[column], sign));
  }
  body.append(...rows);
}

function compare(a, b, sign) {
  const [left, right] = [a, b].map(keyOf);
  if (left === null || right === null) return (left === null) - (right === null);
  if (typeof left === "number" && typeof right === "number") return sign * (left - right);
  return sign * String(left).localeCompare(String(right), "en", { numeric: true });
}

function keyOf(cell) {
  const value = cell.dataset.value;
  const text = cell.textContent.trim();
  if (value === undefined) return /^[+-]?\d+(\.\d+)?(?![\w.-])/.test(text) && !cell.matches("th") ? parseFloat(text) : text;
  return value === "" ? null : Number(value);
}

for (const table of document.querySelectorAll("table.sortable")) {
  [...table.tBodies[0].rows].forEach((row, place) => { row.dataset.place = place; });
  table.tHead.addEventListener("click", (event) => {
    const header = event.target.closest("th");
    if (header && event.target.closest("button")) sortBy(header);
  });
}

/* Tables that are folded away open when they are asked for. */

for (const button of document.querySelectorAll("[data-open]"))
  button.addEventListener("click", () => {
    for (const table of document.querySelectorAll("#tables details")) table.open = button.dataset.open === "true";
  });

function openTarget() {
  const target = location.hash.length > 1 ? at(decodeURIComponent(location.hash.slice(1))) : null;
  const folded = target?.matches("article") ? target.querySelector("details") : null;
  if (folded) { folded.open = true; target.scrollIntoView(); }
}
addEventListener("hashchange", openTarget);
openTarget();

for (const button of document.querySelectorAll("figure button"))
  button.addEventListener("click", () => {
    button.setAttribute("aria-expanded", button.parentNode.classList.toggle("large"));
  });

/* How a number was made. */

function show(value) {
  if (value === null || value === undefined) return "–";
  return typeof value === "object" ? JSON.stringify(value) : String(value);
}

function facts(title, content) {
  const list = node("dl");
  for (const [key, value] of Object.entries(content)) list.append(node("dt", {}, key), node("dd", {}, show(value)));
  return [node("h3", {}, title), list];
}

function madeBy(run) {
  const { spec, row, measure, tier, file, provenance, metrics, identity } = data.records[run] ?? data.computed[run];
  const { command, git_commit, git_dirty, device, utc, ...more } = provenance;
  const commit = git_commit ? git_commit + (git_dirty ? " (with changes)" : "") : null;
  return [
    ...facts("Asked by", { spec, row, measure, tier, ...(run in data.records ? { "run id": run } : {}), file }),
    ...facts("Made by", { command, commit, device, date: utc, ...more }),
    ...(Object.keys(metrics).length ? facts("Numbers", metrics) : []),
    ...facts("All that determines them", identity),
  ];
}

/* One run, or several separated by spaces. */
function showRecord(runs) {
  const known = runs.split(" ").filter((run) => run in data.records || run in data.computed);
  if (!known.length) return;
  at("made-facts").replaceChildren(...known.flatMap(madeBy));
  at("made").showModal();
}

document.addEventListener("click", (event) => {
  const button = event.target.closest("[data-run]");
  if (button) showRecord(button.dataset.run);
  if (event.target === at("made")) at("made").close();
});

/* Frontier. */

const AXES = {
  ap: ["AP, ours", 1], ap_paper: ["AP, paper", 1], gflops: ["GFLOPs (multiply-adds), ours", 1],
  gflops_paper: ["GFLOPs, paper", 1], images_per_s: ["images/s, ours", -1], images_per_s_paper: ["FPS, paper", -1],
};

function chosenDevice() {
  const select = at("device");
  return select ? select.selectedOptions[0].textContent : null;
}

function chosenPoints() {
  const [table, x, y] = ["frontier-table", "frontier-x", "frontier-y"].map((id) => at(id).value);
  const device = chosenDevice();
  const rows = data.points.filter((point) => point.table === table && (!device || !point.device || point.device === device));
  return rows.filter((point) => point[x] !== null && point[y] !== null)
    .map((point) => ({ ...point, x: point[x], y: point[y], low: y === "ap" ? point.ap_low : null, high: y === "ap" ? point.ap_high : null }));
}

function markUnbeaten(points, direction) {
  const noWorse = (a, b) => direction * a.x <= direction * b.x && a.y >= b.y;
  for (const point of points)
    point.unbeaten = !points.some((other) => noWorse(other, point) && (other.x !== point.x || other.y !== point.y));
}

function steps(low, high, count) {
  const rough = (high - low) / count, power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map((factor) => factor * power).find((size) => size >= rough);
  const ticks = [];
  for (let tick = Math.ceil(low / step) * step; tick <= high + step / 1e6; tick += step) ticks.push(Number(tick.toPrecision(10)));
  return ticks;
}

function scale(low, high, from, to) {
  const pad = (high - low || Math.abs(high) || 1) * 0.08;
  const [start, end] = [low - pad, high + pad];
  const place = (value) => from + (value - start) / (end - start) * (to - from);
  return { place, ticks: (count) => steps(start, end, count) };
}

function describe(point) {
  const lines = [point.label, `${AXES[at("frontier-y").value][0]}: ${point.y.toFixed(1)}`];
  if (point.low !== null) lines[1] += ` [${point.low.toFixed(1)}, ${point.high.toFixed(1)}]`;
  lines.push(`${AXES[at("frontier-x").value][0]}: ${point.x.toPrecision(4)}`);
  if (at("frontier-x").value === "images_per_s") lines.push(point.device);
  return lines.join("\n");
}

function drawFrontier() {
  const box = at("frontier-plot"), points = chosenPoints();
  const xName = AXES[at("frontier-x").value], yName = AXES[at("frontier-y").value];
  if (!points.length) {
    box.replaceChildren();
    at("frontier-said").textContent = "Nothing is stored for this choice yet.";
    return;
  }
  markUnbeaten(points, xName[1]);
  const width = Math.max(300, box.clientWidth), height = Math.min(460, Math.max(300, width * 0.55));
  const svg = shape("svg", { viewBox: `0 0 ${width} ${height}`, role: "group", "aria-label": `${yName[0]} over ${xName[0]}` });
  const x = scale(Math.min(...points.map((p) => p.x)), Math.max(...points.map((p) => p.x)), 48, width - 16);
  const y = scale(Math.min(...points.map((p) => p.low ?? p.y)), Math.max(...points.map((p) => p.high ?? p.y)), height - 44, 12);
  drawAxes(svg, x, y, width, height, xName[0], yName[0]);
  const front = points.filter((p) => p.unbeaten).sort((a, b) => a.x - b.x);
  svg.append(shape("polyline", { class: "front", points: front.map((p) => `${x.place(p.x)},${y.place(p.y)}`).join(" ") }));
  const marks = [...points].sort((a, b) => a.x - b.x).map((point) => drawPoint(point, x, y));
  svg.append(...marks);
  box.replaceChildren(svg);
  placeLabels(marks, svg.getBoundingClientRect());
  at("frontier-said").textContent = `${points.length} points; beaten by none: ${front.map((p) => p.label).join("; ")}.`;
}

/* Labels of the front come first; one that finds no free place beside its point stays in its tip alone. */
const MOST_LABELS = 10;
const PLACES = [[9, -8, "start"], [-9, -8, "end"], [9, 17, "start"], [-9, 17, "end"]];

function placeLabels(marks, frame) {
  const taken = marks.map((mark) => mark.querySelector("circle").getBoundingClientRect());
  const free = (box) => box.left >= frame.left && box.right <= frame.right
    && !taken.some((other) => box.left < other.right && other.left < box.right && box.top < other.bottom && other.top < box.bottom);
  const order = [...marks.filter((mark) => mark.matches(".unbeaten")), ...marks.filter((mark) => !mark.matches(".unbeaten"))];
  let written = 0;
  for (const mark of order) {
    const label = mark.querySelector("text"), [cx, cy] = ["cx", "cy"].map((key) => Number(mark.querySelector("circle").getAttribute(key)));
    const found = written < MOST_LABELS && PLACES.some(([dx, dy, anchor]) => {
      for (const [key, value] of [["x", cx + dx], ["y", cy + dy], ["text-anchor", anchor]]) label.setAttribute(key, value);
      return free(label.getBoundingClientRect());
    });
    if (found) { taken.push(label.getBoundingClientRect()); written += 1; }
    else label.remove();
  }
}

function drawAxes(svg, x, y, width, height, xTitle, yTitle) {
  for (const tick of x.ticks(Math.max(4, Math.floor(width / 110)))) {
    const px = x.place(tick);
    svg.append(shape("line", { class: "grid", x1: px, x2: px, y1: 12, y2: height - 44 }));
    svg.append(shape("text", { x: px, y: height - 26, "text-anchor": "middle" }, String(tick)));
  }
  for (const tick of y.ticks(5)) {
    const py = y.place(tick);
    svg.append(shape("line", { class: "grid", x1: 48, x2: width - 16, y1: py, y2: py }));
    svg.append(shape("text", { x: 42, y: py + 4, "text-anchor": "end" }, String(tick)));
  }
  svg.append(shape("text", { x: (48 + width) / 2, y: height - 6, "text-anchor": "middle" }, xTitle));
  svg.append(shape("text", { transform: `translate(12 ${height / 2 - 16}) rotate(-90)`, "text-anchor": "middle" }, yTitle));
}

function drawPoint(point, x, y) {
  const [px, py] = [x.place(point.x), y.place(point.y)];
  const run = point.accuracy_run_id && at("frontier-y").value === "ap" ? point.accuracy_run_id : point.cost_run_id;
  const group = shape("g", { class: point.unbeaten ? "point unbeaten" : "point", tabindex: 0, role: "button",
    "aria-label": describe(point).replaceAll("\n", ", "), ...(run ? { "data-run": run } : {}) });
  if (point.low !== null)
    group.append(shape("line", { class: "interval", x1: px, x2: px, y1: y.place(point.low), y2: y.place(point.high) }));
  group.append(shape("circle", { cx: px, cy: py, r: 6 }));
  group.append(shape("text", {}, point.label));
  for (const event of ["pointerenter", "focus"]) group.addEventListener(event, () => showTip(group, point));
  for (const event of ["pointerleave", "blur"]) group.addEventListener(event, () => { at("tip").hidden = true; });
  group.addEventListener("keydown", (event) => { if (event.key === "Enter" && run) showRecord(run); });
  return group;
}

function showTip(group, point) {
  const tip = at("tip"), mark = group.querySelector("circle").getBoundingClientRect();
  tip.textContent = describe(point);
  tip.hidden = false;
  tip.style.left = `${Math.max(4, Math.min(mark.right + 6, innerWidth - tip.offsetWidth - 4))}px`;
  tip.style.top = `${Math.max(4, mark.top - tip.offsetHeight - 6)}px`;
}

function startFrontier() {
  const shown = Object.keys(data.titles).filter((id) => data.points.some((p) => p.table === id));
  const counts = shown.map((id) => [id, data.points.filter((p) => p.table === id && p.ap !== null).length]);
  const most = counts.reduce((best, one) => (one[1] > best[1] ? one : best), counts[0]);
  for (const [id] of counts)
    at("frontier-table").append(node("option", { value: id, ...(id === most[0] ? { selected: "" } : {}) }, data.titles[id]));
  for (const id of ["frontier-table", "frontier-x", "frontier-y"]) at(id).addEventListener("change", drawFrontier);
  new ResizeObserver(drawFrontier).observe(at("frontier-plot").parentNode);
}

at("device")?.addEventListener("change", () => {
  document.querySelectorAll("[data-device]").forEach((part) => { part.hidden = part.dataset.device !== at("device").value; });
  drawFrontier();
});

/* Gallery. */

const gallery = data.gallery, [height, width] = gallery.image_size, [rows, columns] = gallery.coarse_grid;
const [heatRows, heatColumns] = gallery.heatmap_size;
const [cellHeight, cellWidth] = [height / rows, width / columns];
const alphas = Object.keys(gallery.people[0].fine).sort((a, b) => a - b);
const heats = new Map();

function heatPicture(encoded) {
  if (heats.has(encoded)) return heats.get(encoded);
  const canvas = node("canvas", { width: heatColumns, height: heatRows }), context = canvas.getContext("2d");
  const pixels = context.createImageData(heatColumns, heatRows), bytes = atob(encoded);
  for (let i = 0; i < bytes.length; i++) pixels.data.set([255, 120, 0, bytes.charCodeAt(i) * 0.65], 4 * i);
  context.putImageData(pixels, 0, 0);
  heats.set(encoded, canvas.toDataURL());
  return heats.get(encoded);
}

function picture(person, label) {
  const svg = shape("svg", { viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": label });
  svg.append(shape("image", { href: person.picture, width, height }));
  return svg;
}

function patchView(person, look, refined) {
  const keep = refined ? look.keep_indices : [];
  const svg = picture(person, `${keep.length} of ${rows * columns} patches refined`);
  const byRelevance = document.querySelector("input[name=left]:checked").value === "relevance";
  const most = Math.max(...person.relevance);
  for (let index = 0; index < rows * columns; index++) {
    const box = { x: index % columns * cellWidth, y: Math.floor(index / columns) * cellHeight, width: cellWidth, height: cellHeight };
    if (byRelevance) svg.append(shape("rect", { ...box, fill: "#d55e00", "fill-opacity": 0.8 * person.relevance[index] / most }));
    else if (!keep.includes(index)) svg.append(shape("rect", { ...box, class: "coarse-veil" }));
    if (keep.includes(index)) svg.append(shape("path", { class: "fine",
      d: `M${box.x} ${box.y}h${cellWidth}v${cellHeight}h${-cellWidth}zm${cellWidth / 2} 0v${cellHeight}m${-cellWidth / 2} ${-cellHeight / 2}h${cellWidth}` }));
  }
  return svg;
}

function poseView(person, result) {
  const svg = picture(person, `keypoints, true OKS ${result.oks.toFixed(2)}`);
  if (at("show-heat").checked) svg.append(shape("image", { href: heatPicture(result.heat), width, height, preserveAspectRatio: "none" }));
  if (!at("show-points").checked) return svg;
  for (const [a, b] of gallery.limbs) {
    const [[x1, y1], [x2, y2]] = [result.keypoints[a], result.keypoints[b]];
    svg.append(shape("line", { class: "limb", x1, y1, x2, y2 }));
  }
  result.keypoints.forEach(([cx, cy]) => svg.append(shape("circle", { class: "joint", cx, cy, r: 1.6 })));
  return svg;
}

function card(person, number, alpha, threshold) {
  const refined = person.quality < threshold, look = person.fine[alpha], result = refined ? look : person.coarse;
  const box = node("div", { class: refined ? "person refined" : "person", "data-refined": refined });
  const views = node("div", { class: "views" });
  views.append(patchView(person, look, refined), poseView(person, result));
  const said = refined ? "refined" : "early exit: the coarse keypoints are the answer";
  box.append(views, node("p", {}, `Person ${number}: quality ${person.quality.toFixed(2)}, `, node("strong", {}, said)),
    node("p", {}, `true OKS: coarse ${person.coarse.oks.toFixed(3)}${refined ? `, fine ${look.oks.toFixed(3)}` : ""}`));
  if (person.photograph) box.append(node("p", { class: "origin" }, `Photograph, cropped: ${person.photograph} (${person.licence})`));
  return { box, refined, oks: result.oks };
}

function drawGallery() {
  const alpha = alphas[at("alpha").value], threshold = Number(at("threshold").value);
  at("alpha-value").textContent = alpha;
  at("threshold-value").textContent = threshold.toFixed(2);
  const cards = gallery.people.map((person, index) => card(person, index + 1, alpha, threshold));
  at("people").replaceChildren(...cards.map((one) => one.box));
  const refined = cards.filter((one) => one.refined).length, mean = cards.reduce((sum, one) => sum + one.oks, 0) / cards.length;
  const cost = data.costs[alpha];
  const spent = cost ? ` At paper size that costs ${(cost.coarse + refined / cards.length * cost.fine).toFixed(2)} GFLOPs (multiply-adds) per person.` : "";
  at("gallery-said").textContent = `${refined} of ${cards.length} refined; mean true OKS ${mean.toFixed(3)}.${spent}`;
}

function startGallery() {
  at("alpha").max = alphas.length - 1;
  at("alpha").value = Math.max(0, alphas.indexOf("0.3"));
  at("gallery-about").textContent = `${gallery.people.length} people of ${gallery.dataset} as ${gallery.model} sees them, taken ${gallery.chosen}. `
    + "Pale patches stay coarse; those with an orange grid were refined.";
  for (const id of ["alpha", "threshold", "show-heat", "show-points"]) at(id).addEventListener("input", drawGallery);
  document.querySelectorAll("input[name=left]").forEach((choice) => choice.addEventListener("input", drawGallery));
  drawGallery();
}

startFrontier();
startGallery();
