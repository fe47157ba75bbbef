"use strict";
// Draws what the page has as data. Figures are drawn when they come into view.

const main = document.getElementById("main");
const aside = document.getElementById("trial");
const wantsDark = window.matchMedia("(prefers-color-scheme: dark)");
const PAUSE = 3000; // milliseconds between two questions for newer data
const CONFIG = { displayModeBar: false, responsive: true };
let data, theme, selected = null;
let isSelecting = false; // what dragging does in a figure with trials: select, else zoom
let marked = null; // the keys of the trials in a box that was drawn, in every figure
const figures = new Map(); // by element: what is drawn there
const shown = new Map(); // by place and label: the figures of the sections

async function unpack(id) {
  const text = document.getElementById(id).textContent.trim();
  const binary = atob(text);
  const bytes = new Uint8Array(binary.length);
  for (let place = 0; place < binary.length; place++) bytes[place] = binary.charCodeAt(place);
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
  return new Response(stream).text();
}

function element(tag, properties = {}, ...children) {
  const made = Object.assign(document.createElement(tag), properties);
  made.append(...children);
  return made;
}

// "@ink" and the like are colours of the theme.
function resolve(value) {
  if (typeof value === "string") return value[0] === "@" ? theme[value.slice(1)] ?? value : value;
  if (Array.isArray(value)) return value.map(resolve);
  if (value === null || typeof value !== "object") return value;
  return Object.fromEntries(Object.entries(value).map(([key, inner]) => [key, resolve(inner)]));
}

function setTheme(name) {
  theme = data.themes[name];
  document.documentElement.style.colorScheme = name;
  for (const [key, colour] of Object.entries(theme)) {
    document.documentElement.style.setProperty(`--${key}`, colour);
  }
  for (const plot of figures.keys()) if (plot.isConnected) draw(plot);
}

function layoutOf(figure, view, zoom, isNarrow) {
  const axis = { gridcolor: theme.grid, linecolor: theme.muted, zeroline: false, automargin: true };
  const layout = resolve({
    margin: { l: 60, r: 20, t: 20, b: 50 },
    font: { color: "@ink", size: 13, family: "inherit" },
    paper_bgcolor: "rgba(0,0,0,0)",
    plot_bgcolor: "rgba(0,0,0,0)",
    hoverlabel: { align: "left", bgcolor: "@background", bordercolor: "@muted", font: { color: "@ink" } },
    hovermode: "closest",
    legend: { orientation: "h", x: 0, xanchor: "left", y: 1.02, yanchor: "bottom", itemsizing: "trace" },
    uirevision: "stays", // what was hidden by a click on the legend stays hidden
    ...figure.layout,
    xaxis: { ...axis, ...figure.layout.xaxis },
    yaxis: { ...axis, ...figure.layout.yaxis },
  });
  for (const named of isNarrow ? layout.annotations ?? [] : []) {
    named.text = named.text.replace(/^(★ )?.*: /, "$1"); // there is room for the id alone
  }
  for (const [path, value] of Object.entries(view?.layout ?? {})) {
    const keys = path.split(".");
    const last = keys.pop();
    const inner = keys.reduce((at, key) => (at[key] ??= {}), layout);
    inner[last] = structuredClone(value); // plotly changes what it is given
    if (last === "range") inner.autorange = value === null;
  }
  for (const [axis, range] of Object.entries(zoom)) {
    Object.assign((layout[axis] ??= {}), { range: [...range], autorange: false });
  }
  return layout;
}

function tracesOf(figure, view) {
  const traces = figure.data.map((trace, number) => {
    const shown = { ...trace };
    for (const [key, values] of Object.entries(view?.data ?? {})) shown[key] = values[number];
    if (marked !== null && shown.customdata && shown.mode === "markers") {
      shown.selectedpoints = shown.customdata.flatMap((key, at) => (marked.has(key) ? [at] : []));
      shown.unselected = { marker: { opacity: 0.1 } };
    }
    return resolve(shown);
  });
  return [...traces, ...chosen(figure, traces)];
}

// The clicked trial, wherever it is in the figure.
function chosen(figure, traces) {
  if (selected === null) return [];
  return traces.flatMap((trace) => {
    if (!trace.customdata || trace.visible === false) return [];
    const places = trace.customdata.flatMap((key, place) => (key === selected ? [place] : []));
    if (!places.length) return [];
    const isLine = trace.mode === "lines";
    return [{
      type: "scatter",
      mode: isLine ? "lines" : "markers",
      x: places.map((place) => trace.x[place]),
      y: places.map((place) => trace.y[place]),
      line: { color: theme.ink, width: 4 },
      marker: { symbol: "circle-open", size: 20, color: theme.ink, line: { width: 3 } },
      hoverinfo: "skip",
      showlegend: false,
    }];
  });
}

function draw(plot) {
  const { figure, number, zoom } = figures.get(plot);
  const view = figure.views[number];
  const layout = layoutOf(figure, view, zoom, plot.clientWidth < 600);
  layout.dragmode = isSelecting ? "select" : "zoom";
  Plotly.react(plot, tracesOf(figure, view), layout, CONFIG);
  if (plot.dataset.drawn) return;
  plot.dataset.drawn = "yes";
  plot.on("plotly_click", (event) => {
    const key = event.points[0]?.customdata;
    if (key) select(key);
  });
  plot.on("plotly_selected", (event) => {
    if (event) mark(new Set(event.points.map((point) => point.customdata).filter(Boolean)));
  });
  plot.on("plotly_deselect", () => mark(null));
  plot.on("plotly_relayout", (changes) => remember(figures.get(plot)?.zoom, changes));
}

// Shows the trials of a box in every figure; the others fade.
function mark(keys) {
  marked = keys && keys.size ? keys : null;
  for (const plot of figures.keys()) if (plot.isConnected) draw(plot);
}

// Plotly keeps the box that was drawn in a figure, whatever data it gets: the figure is made anew.
function forgetBox(plot) {
  Plotly.purge(plot);
  delete plot.dataset.drawn;
}

// Keeps what the user zoomed: newer data come with ranges of their own.
function remember(zoom, changes) {
  for (const [path, value] of Object.entries(zoom ? changes : {})) {
    const [, axis, what] = path.match(/^([xy]axis\d*)\.(range\[0\]|autorange)$/) ?? [];
    if (what === "autorange") delete zoom[axis];
    else if (axis) zoom[axis] = [value, changes[`${axis}.range[1]`]];
  }
}

const watcher = new IntersectionObserver((entries) => {
  for (const { isIntersecting, target } of entries) {
    if (!isIntersecting) continue;
    watcher.unobserve(target);
    figures.set(target, target.pending);
    draw(target);
  }
}, { rootMargin: "300px" });

// A figure that is on the page already gets the newer data, and keeps its zoom and view.
function figureOf(figure, place) {
  const key = JSON.stringify([place, figure.label, figure.views.map((view) => view.label)]);
  if (!shown.has(key)) shown.set(key, newFigure(figure));
  const made = shown.get(key);
  made.querySelector(".plot").pending.figure = figure;
  return made;
}

function newFigure(figure) {
  const plot = element("div", { className: "plot", role: "img", ariaLabel: figure.label });
  plot.pending = { figure, number: 0, zoom: {} };
  const views = figure.views.map((view, number) => {
    const button = element("button", { type: "button", textContent: view.label });
    button.ariaPressed = String(number === 0);
    button.onclick = () => {
      plot.pending.number = number;
      views.forEach((other) => (other.ariaPressed = String(other === button)));
      plot.pending.zoom = {};
      if (figures.has(plot)) draw(plot);
    };
    return button;
  });
  const buttons = [...views];
  if (figure.can_select) buttons.push(selectButton());
  const label = figure.label[0].toUpperCase() + figure.label.slice(1);
  const made = element("figure", { className: figure.is_wide ? "wide" : "" });
  made.append(element("figcaption", { textContent: label }));
  if (buttons.length) made.append(element("div", { className: "views" }, ...buttons));
  made.append(plot);
  return made;
}

// Switches what dragging does, in all figures: a box marks trials, or zooms.
function selectButton() {
  const button = element("button", { type: "button", className: "select", textContent: "Select" });
  button.title = "Drag a box around trials to mark them in every figure";
  button.ariaPressed = String(isSelecting);
  button.onclick = () => {
    isSelecting = !isSelecting;
    for (const one of document.querySelectorAll("button.select")) one.ariaPressed = String(isSelecting);
    if (!isSelecting) for (const plot of figures.keys()) forgetBox(plot);
    mark(isSelecting ? marked : null);
  };
  return button;
}

function tableOf({ headings, rows, keys }) {
  const cells = (tag, texts) => texts.map((textContent) => element(tag, { textContent }));
  const body = rows.map((row, number) => {
    const line = element("tr", {}, ...cells("td", row));
    const key = keys[number];
    if (key) {
      line.dataset.key = key;
      line.tabIndex = 0;
      line.onclick = () => select(key);
      line.onkeydown = (event) => { if (event.key === "Enter") select(key); };
    }
    return line;
  });
  const head = element("thead", {}, element("tr", {}, ...cells("th", headings)));
  const table = element("table", {}, head, element("tbody", {}, ...body));
  return element("div", { className: "scroll" }, table);
}

function sectionOf(section, id) {
  const made = element("section", {}, element("h2", { id, textContent: section.title }));
  made.append(element("p", { className: "sentences", textContent: section.sentences.join(" ") }));
  if (section.figures.length) {
    const place = `${id} ${section.title}`;
    const drawn = section.figures.map((figure) => figureOf(figure, place));
    made.append(element("div", { className: "figures" }, ...drawn));
  }
  if (section.table) made.append(tableOf(section.table));
  return made;
}

function build() {
  const parts = [], links = [];
  data.groups.forEach((group, number) => {
    parts.push(element("h1", { textContent: group.title }));
    parts.push(element("p", { className: "summary", textContent: group.summary }));
    group.sections.forEach((section, place) => {
      const id = `s${number}-${place}`;
      parts.push(sectionOf(section, id));
      if (number === 0 || place === 0) {
        const name = data.groups.length > 1 && number > 0 ? group.title : section.title;
        links.push(element("a", { href: `#${id}`, textContent: name }));
      }
    });
  });
  main.replaceChildren(...parts);
  document.getElementById("nav").replaceChildren(...links);
}

// Puts newer data into the page. Zooms, views and the chosen trial stay.
function update(fresh) {
  const tables = [...main.querySelectorAll(".scroll")].map((table) => table.scrollTop);
  const top = window.scrollY;
  data = fresh;
  build();
  main.querySelectorAll(".scroll").forEach((table, place) => (table.scrollTop = tables[place] ?? 0));
  window.scrollTo(0, top);
  watch();
  select(selected in data.trials ? selected : null); // draws
}

// Figures are drawn when they come into view.
function watch() {
  for (const plot of main.querySelectorAll(".plot")) if (!figures.has(plot)) watcher.observe(plot);
}

// A live page asks its server for newer data.
async function follow() {
  const status = document.getElementById("status");
  let tag = "";
  for (;;) {
    await new Promise((done) => setTimeout(done, PAUSE));
    try {
      const answer = await fetch("data", { headers: { "If-None-Match": tag }, cache: "no-store" });
      if (answer.status === 503) status.textContent = await answer.text();
      if (answer.status === 200) {
        tag = answer.headers.get("ETag");
        update(await answer.json());
      }
      if (answer.status === 200 || answer.status === 304) status.textContent = "Live";
    } catch {
      status.textContent = "The server has ended: this is the last it sent.";
    }
  }
}

function resize() {
  for (const plot of figures.keys()) if (plot.isConnected) Plotly.Plots.resize(plot);
}

function select(key) {
  const isOpen = selected !== null;
  selected = key;
  for (const plot of figures.keys()) if (plot.isConnected) draw(plot);
  for (const row of document.querySelectorAll("tr[data-key]")) {
    row.classList.toggle("selected", row.dataset.key === key);
  }
  for (const plot of aside.querySelectorAll(".plot")) figures.delete(plot);
  aside.hidden = key === null;
  aside.replaceChildren();
  if (key !== null) aside.append(...detailsOf(key, data.trials[key]));
  if (document.body.classList.toggle("open", key !== null) !== isOpen) resize();
}

function detailsOf(key, trial) {
  const close = element("button", { type: "button", className: "close", textContent: "Close" });
  close.onclick = () => select(null);
  const picks = trial.picks.length ? `: ${trial.picks.join(", ")}` : "";
  const made = [close, element("h3", { textContent: key })];
  const reason = trial.reason ? ` (${trial.reason})` : "";
  made.push(element("div", { textContent: `${trial.state}${reason} after ${trial.epochs} epochs${picks}` }));
  const code = element("code", { textContent: trial.command });
  const copy = element("button", { type: "button", textContent: "Copy" });
  copy.onclick = () => copyText(code, copy);
  if (trial.card) made.push(element("p", { className: "card", textContent: trial.card }));
  made.push(element("p", {}, code, " ", copy));
  if (trial.curves) {
    const figure = {
      views: [],
      data: Object.entries(trial.curves).map(([name, y], number) => ({
        type: "scatter", mode: "lines", name: name.replaceAll("_", " "), x: trial.epoch, y,
        line: { color: `@c${number}`, width: 2, dash: ["solid", "dash", "dot", "dashdot"][number] },
      })),
      layout: { margin: { l: 45, r: 10, t: 10, b: 35 }, xaxis: { title: { text: "epoch" } } },
    };
    const plot = element("div", { className: "plot" });
    figures.set(plot, { figure, number: 0, zoom: {} });
    requestAnimationFrame(() => plot.isConnected && window.Plotly && draw(plot));
    made.push(plot);
  } else {
    made.push(element("p", { textContent: "Its curve is not on this page, but in history.parquet." }));
  }
  for (const [title, values] of [["setting", trial.settings], ["metric", trial.metrics]]) {
    const rows = Object.entries(values).map(([name, value]) => [name, String(value)]);
    made.push(tableOf({ headings: [title, "value"], rows, keys: [] }));
  }
  return made;
}

async function copyText(code, button) {
  try {
    await navigator.clipboard.writeText(code.textContent);
    button.textContent = "Copied";
  } catch { // not allowed on this page: leave it selected
    getSelection().selectAllChildren(code);
  }
}

async function start() {
  if (!("DecompressionStream" in window)) {
    document.getElementById("loading").textContent = "This page needs a browser of 2023 or later.";
    return;
  }
  const library = unpack("plotly");
  data = JSON.parse(await unpack("data"));
  setTheme(wantsDark.matches ? "dark" : "light");
  build();
  document.getElementById("theme").onclick = () => {
    setTheme(theme === data.themes.dark ? "light" : "dark");
  };
  wantsDark.addEventListener("change", () => setTheme(wantsDark.matches ? "dark" : "light"));
  document.addEventListener("keydown", (event) => { if (event.key === "Escape") select(null); });
  await new Promise(requestAnimationFrame); // texts and tables first: the library takes longer
  document.head.append(element("script", { textContent: await library }));
  watch();
  document.body.dataset.ready = "yes";
  if (data.is_live) follow();
}

start();
