"use strict";
// The page works without this: tables of all evaluations, zoom and live data come on top.

const COLUMNS = [
  ["job", "evaluation", "6.5rem"], ["objective", "objective", "6.5rem"], ["inherited", "inherited", "6.5rem"],
  ["parent", "parent", "5.5rem"], ["donor", "donor", "5.5rem"], ["seconds", "seconds", "6rem"],
  ["ended", "ended at", "6.5rem"], ["model", "model", "11rem"], ["worker", "worker", "14rem"],
];
const HEIGHT = 31;

function clock(seconds) {
  if (seconds === null) return "";
  const s = Math.round(seconds), two = (n) => String(n).padStart(2, "0");
  return `${Math.floor(s / 3600)}:${two(Math.floor(s / 60) % 60)}:${two(s % 60)}`;
}

/** A table of any length, of which only the rows in sight are in the page. */
class Rows {
  constructor(box, data) {
    this.box = box;
    this.data = data;
    this.by = "job";
    this.down = true;
    this.box.replaceChildren();
    const table = document.createElement("table");
    table.setAttribute("aria-label", box.getAttribute("aria-label"));
    this.table = table;
    const head = table.createTHead().insertRow();
    for (const [key, title, width] of COLUMNS) {
      const cell = document.createElement("th");
      cell.scope = "col";
      cell.style.width = width;
      const button = document.createElement("button");
      button.type = "button";
      button.textContent = title;
      button.onclick = () => this.sort(key);
      if (key === "model" || key === "worker") cell.className = "text";
      cell.append(button);
      head.append(cell);
    }
    this.head = head;
    this.body = table.createTBody();
    this.box.append(table);
    this.box.addEventListener("scroll", () => this.ask(), { passive: true });
    this.order();
  }
  append(more) {
    for (const key of Object.keys(more)) this.data[key] = this.data[key].concat(more[key]);
    this.order();
  }
  sort(key) {
    this.down = this.by === key ? !this.down : key === "objective" || key === "job";
    this.by = key;
    this.box.scrollTop = 0;
    this.order();
  }
  order() {
    const values = this.data[this.by], sign = this.down ? -1 : 1;
    this.index = Array.from(values.keys()).sort((a, b) => {
      const x = values[a], y = values[b];
      if (x === y) return b - a;
      if (x === null) return 1;
      if (y === null) return -1;
      return (x < y ? -1 : 1) * sign;
    });
    COLUMNS.forEach(([key], i) => {
      const sorted = key === this.by;
      const cell = this.head.cells[i];
      if (sorted) cell.setAttribute("aria-sort", this.down ? "descending" : "ascending");
      else cell.removeAttribute("aria-sort");
      cell.firstChild.textContent = COLUMNS[i][1] + (sorted ? (this.down ? " ↓" : " ↑") : "");
    });
    this.table.setAttribute("aria-rowcount", values.length + 1);
    this.first = -1;
    this.draw();
  }
  ask() {
    if (this.waits) return;
    this.waits = true;
    requestAnimationFrame(() => { this.waits = false; this.draw(); });
  }
  draw() {
    const total = this.index.length, seen = Math.ceil(this.box.clientHeight / HEIGHT);
    const first = Math.max(0, Math.min(total - seen, Math.floor(this.box.scrollTop / HEIGHT)) - 10);
    if (first === this.first) return;
    this.first = first;
    const last = Math.min(total, first + seen + 20);
    const rows = [this.gap(first)];
    for (let i = first; i < last; i++) rows.push(this.row(this.index[i], i));
    rows.push(this.gap(total - last));
    this.body.replaceChildren(...rows);
  }
  gap(count) {
    const row = document.createElement("tr");
    row.className = "gap";
    row.setAttribute("aria-hidden", "true");
    const cell = row.insertCell();
    cell.colSpan = COLUMNS.length;
    cell.style.height = `${count * HEIGHT}px`;
    return row;
  }
  row(n, place) {
    const d = this.data, row = document.createElement("tr");
    row.setAttribute("aria-rowindex", place + 2);
    const number = (value) => (value === null ? "" : `#${value}`);
    const texts = [
      `#${d.job[n]}`, d.objective[n] === null ? d.failure[n] || "failed" : d.objective[n].toFixed(4),
      d.inherited[n] === null ? "" : `${d.inherited[n]} of ${d.layers[n]}`, number(d.parent[n]), number(d.donor[n]),
      d.seconds[n] === null ? "" : d.seconds[n].toFixed(2), clock(d.ended[n]), d.model[n], d.worker[n] || "",
    ];
    texts.forEach((text, i) => {
      const cell = row.insertCell();
      cell.textContent = text;
      if (i === 1 && d.objective[n] === null) cell.className = "bad";
      if (i > 6) cell.className = "text";
    });
    return row;
  }
}

/** Wheel, drag, buttons and keys move and scale the view box of a drawing. */
function zoomable(box) {
  const svg = box.querySelector("svg");
  if (!svg) return;
  const [, , width, height] = svg.getAttribute("viewBox").split(" ").map(Number);
  const kept = zoomable.kept[box.parentElement.id];
  let view = start();
  if (kept && kept.width === width) view = kept.view;
  function start() {
    // A unit is a pixel; the best models are at the right, so that a long lineage is shown from its end.
    const seen = Math.max(box.clientWidth, 320);
    svg.style.width = "100%";
    svg.style.height = `${Math.min(Math.max(height, 120), 420)}px`;
    return [width > seen ? width - seen : (width - seen) / 2, 0, seen, Math.min(Math.max(height, 120), 420)];
  }
  function show() {
    svg.setAttribute("viewBox", view.join(" "));
    zoomable.kept[box.parentElement.id] = { width, view };
  }
  function scale(by, x = view[0] + view[2] / 2, y = view[1] + view[3] / 2) {
    const to = Math.min(Math.max(view[2] * by, 60), width * 1.2) / view[2];
    view = [x - (x - view[0]) * to, y - (y - view[1]) * to, view[2] * to, view[3] * to];
    show();
  }
  function move(x, y) {
    view = [view[0] + x * view[2], view[1] + y * view[3], view[2], view[3]];
    show();
  }
  const bar = document.createElement("div");
  bar.className = "zoom";
  const doing = [
    ["+", "Zoom in", () => scale(0.7)], ["−", "Zoom out", () => scale(1 / 0.7)],
    ["←", "Move left", () => move(-0.3, 0)], ["→", "Move right", () => move(0.3, 0)],
    ["all", "Show all", () => { view = [0, 0, width, height]; show(); }],
  ];
  for (const [text, label, act] of doing) {
    const button = document.createElement("button");
    button.type = "button";
    button.textContent = text;
    button.setAttribute("aria-label", label);
    button.onclick = act;
    bar.append(button);
  }
  box.prepend(bar);
  svg.addEventListener("wheel", (event) => {
    if (!event.ctrlKey && !event.shiftKey) return; // the page scrolls
    event.preventDefault();
    const place = new DOMPoint(event.clientX, event.clientY).matrixTransform(svg.getScreenCTM().inverse());
    scale(event.deltaY > 0 ? 1.2 : 1 / 1.2, place.x, place.y);
  }, { passive: false });
  svg.addEventListener("pointerdown", (event) => {
    svg.setPointerCapture(event.pointerId);
    const unit = view[2] / svg.clientWidth;
    let [x, y] = [event.clientX, event.clientY];
    svg.onpointermove = (at) => {
      view = [view[0] - (at.clientX - x) * unit, view[1] - (at.clientY - y) * unit, view[2], view[3]];
      [x, y] = [at.clientX, at.clientY];
      show();
    };
    svg.onpointerup = svg.onpointercancel = () => { svg.onpointermove = null; };
  });
  show();
}
zoomable.kept = {};

const tables = [];
function fill(root) {
  root.querySelectorAll("[data-zoom]").forEach(zoomable);
  root.querySelectorAll(".rows").forEach((box) => {
    const run = Number(box.dataset.run);
    if (typeof ROWS !== "undefined") tables[run] = new Rows(box, ROWS[run]);
  });
}
fill(document);

/** Takes over what the server tells, where the page is a live one. */
function live() {
  const token = new URLSearchParams(location.search).get("token");
  const asking = (path) => `${path}${path.includes("?") ? "&" : "?"}token=${encodeURIComponent(token)}`;
  const status = document.querySelector(".live");
  const waiting = new Map();
  let problem = "", active = false;

  function say(connected) {
    const text = problem || (!connected ? "not connected" : active ? "live" : "no news");
    if (status.textContent !== text) status.innerHTML = "<b></b>";
    status.firstChild.textContent = text;
  }
  function replace(id, html) {
    const box = document.getElementById(id);
    if (!box || id.startsWith("rows-")) return;
    if (box.contains(document.activeElement)) { // who reads or types there is not disturbed
      waiting.set(id, html);
      return;
    }
    const name = (one) => one.querySelector("summary").textContent.replace(/[\d,.]+/g, "");
    const open = new Set(Array.from(box.querySelectorAll("details[open]"), name));
    const scrolled = Array.from(box.querySelectorAll(".scroll, .networks, .table"), (one) => [one.scrollLeft, one.scrollTop]);
    box.innerHTML = html;
    box.querySelectorAll("details").forEach((one) => { one.open = open.has(name(one)); });
    box.querySelectorAll(".scroll, .networks, .table").forEach((one, i) => {
      if (scrolled[i]) [one.scrollLeft, one.scrollTop] = scrolled[i];
    });
    box.querySelectorAll("[data-zoom]").forEach(zoomable);
  }
  document.addEventListener("focusout", () => setTimeout(() => {
    for (const [id, html] of waiting) {
      if (document.getElementById(id).contains(document.activeElement)) continue;
      waiting.delete(id);
      replace(id, html);
    }
  }));
  const asked = {};
  async function rows(run, count) {
    const known = tables[run] ? tables[run].data.job.length : 0;
    if (asked[run] || known >= count) return;
    asked[run] = true;
    try {
      const answer = await fetch(asking(`rows?run=${run}&since=${known}`));
      if (!answer.ok) return;
      const data = await answer.json();
      if (tables[run]) tables[run].append(data);
      else tables[run] = new Rows(document.querySelector(`.rows[data-run="${run}"]`), data);
    } finally {
      asked[run] = false;
    }
  }
  const source = new EventSource(asking(`events?version=${VERSION}`));
  source.addEventListener("sections", (event) => {
    problem = "";
    for (const [id, html] of Object.entries(JSON.parse(event.data))) replace(id, html);
  });
  source.addEventListener("counts", (event) => {
    const counts = JSON.parse(event.data);
    active = counts.some((one) => one.active);
    counts.forEach((one, run) => rows(run, one.rows));
    say(true);
  });
  source.addEventListener("problem", (event) => { problem = JSON.parse(event.data); say(true); });
  source.onerror = () => say(false);
}
if (typeof VERSION !== "undefined") live();
