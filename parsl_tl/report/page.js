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

/**
 * Buttons, keys, wheel and pointer of a drawing.
 * act: scale(by, x, y) around a place in the drawing's units, move(share of what is seen), drag(pixels), all().
 */
function controls(box, svg, act) {
  const doing = [
    ["+", "Zoom in", "+", () => act.scale(0.7)], ["−", "Zoom out", "-", () => act.scale(1 / 0.7)],
    ["←", "Move left", "ArrowLeft", () => act.move(-0.3)], ["→", "Move right", "ArrowRight", () => act.move(0.3)],
    ["all", "Show all", "0", () => act.all()],
  ];
  const bar = document.createElement("div");
  bar.className = "zoom";
  for (const [text, label, , run] of doing) {
    const button = document.createElement("button");
    button.type = "button";
    button.textContent = text;
    button.setAttribute("aria-label", label);
    button.onclick = run;
    bar.append(button);
  }
  box.prepend(bar);
  box.tabIndex = 0;
  box.setAttribute("role", "group");
  box.setAttribute("aria-label", `${svg.getAttribute("aria-label")}. Plus and minus zoom, arrows move, 0 shows all.`);
  box.onkeydown = (event) => {
    const found = doing.find(([, , key]) => key === event.key || (key === "+" && event.key === "="));
    if (!found || event.ctrlKey || event.metaKey || event.altKey) return;
    event.preventDefault();
    found[3]();
  };
  svg.addEventListener("wheel", (event) => {
    if (!event.ctrlKey && !event.shiftKey) return; // the page scrolls
    event.preventDefault();
    const place = new DOMPoint(event.clientX, event.clientY).matrixTransform(svg.getScreenCTM().inverse());
    const turned = event.deltaY || event.deltaX; // with shift, some browsers turn sideways
    act.scale(turned > 0 ? 1.2 : 1 / 1.2, place.x, place.y);
  }, { passive: false });
  svg.addEventListener("pointerdown", (event) => {
    svg.setPointerCapture(event.pointerId);
    let [x, y] = [event.clientX, event.clientY];
    svg.onpointermove = (at) => {
      act.drag(at.clientX - x, at.clientY - y);
      [x, y] = [at.clientX, at.clientY];
    };
    svg.onpointerup = svg.onpointercancel = () => { svg.onpointermove = null; };
  });
  return bar;
}

/** A drawing of which a part is seen: its view box moves and grows. */
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
  controls(box, svg, {
    scale(by, x = view[0] + view[2] / 2, y = view[1] + view[3] / 2) {
      const to = Math.min(Math.max(view[2] * by, 60), width * 1.2) / view[2];
      view = [x - (x - view[0]) * to, y - (y - view[1]) * to, view[2] * to, view[3] * to];
      show();
    },
    move(share) {
      view[0] += share * view[2];
      show();
    },
    drag(x, y) {
      const unit = view[2] / svg.clientWidth;
      view = [view[0] - x * unit, view[1] - y * unit, view[2], view[3]];
      show();
    },
    all() {
      view = [0, 0, width, height];
      show();
    },
  });
  show();
}
zoomable.kept = {};

/** The workers' timeline: time is zoomed and moved, names stay; close up, each evaluation is there by itself. */
function timeline(box) {
  const svg = box.querySelector("svg.plot"), lanes = box.querySelector("svg.lanes");
  if (!lanes) return;
  const ticks = svg.querySelector(".across"), names = JSON.parse(lanes.dataset.lanes);
  const end = Number(lanes.dataset.end), run = Number(box.dataset.time), id = box.parentElement.id;
  const [left, top, width, height] = lanes.getAttribute("viewBox").split(" ").map(Number);
  const drawn = Array.from(ticks.childNodes), shortest = Math.min(end, Math.max(end / 5000, 5));
  const kept = timeline.kept[id];
  // Who looks at a part of a search that goes on stays there; who looks at all sees what is new.
  let [from, to] = kept && kept.to < kept.end ? [kept.from, kept.to] : [0, end];
  const said = document.createElement("p");
  const group = document.createElementNS(svg.namespaceURI, "g");
  group.setAttribute("class", "spans");
  lanes.append(group);

  function element(name, attributes, text) {
    const made = document.createElementNS(svg.namespaceURI, name);
    for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
    if (text) made.append(text);
    return made;
  }
  function redrawTicks() {
    if (to - from >= end) return ticks.replaceChildren(...drawn);
    const raw = (to - from) / 6, steps = [1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14400, 43200];
    const step = steps.find((one) => one >= raw) || Math.ceil(raw / 86400) * 86400;
    const bottom = top + height, made = [];
    for (let at = Math.ceil(from / step) * step; at <= to; at += step) {
      const x = left + (at - from) / (to - from) * width;
      made.push(element("path", { class: "axis", d: `M${x} ${bottom}v4` }));
      made.push(element("text", { class: "ink mid", x, y: bottom + 18 }, clock(at)));
    }
    ticks.replaceChildren(...made);
  }
  function spans() {
    const data = tables[run] && tables[run].data, found = [];
    for (let n = 0; data && n < data.job.length; n++) {
      const begun = data.ended[n] - data.seconds[n];
      if (data.ended[n] !== null && data.seconds[n] !== null && data.ended[n] > from && begun < to) found.push(n);
    }
    return found.filter((n) => names.includes(data.worker[n]));
  }
  function redrawSpans() {
    const found = to - from < end ? spans() : [], data = tables[run] && tables[run].data;
    const room = height / names.length;
    group.replaceChildren(...(found.length > timeline.most ? [] : found).map((n) => {
      const x = left + (data.ended[n] - data.seconds[n]) / end * width;
      const place = { class: "span", x, width: Math.max(data.seconds[n] / end * width, 1e-3) };
      const rect = element("rect", { ...place, y: top + (names.indexOf(data.worker[n]) + 0.08) * room, height: room * 0.84 });
      const value = data.objective[n] === null ? data.failure[n] : data.objective[n].toFixed(4);
      rect.append(element("title", {}, `#${data.job[n]}: ${value}, ${data.seconds[n]} s, ended at ${clock(data.ended[n])}`));
      return rect;
    }));
    said.textContent = to - from < end ? `${clock(from)} to ${clock(to)} of ${clock(end)}: ${found.length} evaluations` : "";
  }
  function show(seconds, begin) {
    const seen = Math.min(Math.max(seconds, shortest), end);
    from = Math.min(Math.max(begin, 0), end - seen);
    to = from + seen;
    timeline.kept[id] = { from, to, end };
    lanes.setAttribute("viewBox", `${left + from / end * width} ${top} ${(to - from) / end * width} ${height}`);
    redrawTicks();
    redrawSpans();
  }
  const bar = controls(box, svg, {
    scale(by, x = left + width / 2) {
      const share = Math.min(Math.max((x - left) / width, 0), 1), at = from + share * (to - from);
      const seen = Math.min(Math.max((to - from) * by, shortest), end);
      show(seen, at - share * seen);
    },
    move(share) { show(to - from, from + share * (to - from)); },
    drag(x) { show(to - from, from - x / svg.clientWidth * svg.viewBox.baseVal.width / width * (to - from)); },
    all() { show(end, 0); },
  });
  said.setAttribute("role", "status");
  bar.append(said);
  show(to - from, from);
}
timeline.kept = {};
timeline.most = 600;

const tables = [];
function zooms(root) {
  root.querySelectorAll("[data-zoom]").forEach(zoomable);
  root.querySelectorAll("[data-time]").forEach(timeline);
}
function fill(root) {
  zooms(root);
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
    zooms(box);
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
