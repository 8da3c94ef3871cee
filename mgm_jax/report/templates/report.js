"use strict";

/* Draws the figures of the page and makes its tables sortable; nothing is fetched. */

const CAN_UNPACK = "DecompressionStream" in window;

/* The text of a packed part of the page: deflate in base64. */
async function unpack(packed) {
  const bytes = Uint8Array.from(atob(packed), (letter) => letter.charCodeAt(0));
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("deflate"));
  return new Response(stream).text();
}

const SEPARATOR = "\u001f";
const COLOUR_KEYS = new Set(["color", "fillcolor", "colorscale"]);

function cssValue(name) {
  return getComputedStyle(document.documentElement).getPropertyValue(name).trim();
}

/* A copy of a figure in which colour entries such as "--ink" hold the colours of the theme. */
function withColours(value, isColour = false) {
  if (Array.isArray(value)) return value.map((item) => withColours(item, isColour));
  if (value !== null && typeof value === "object") {
    const entries = Object.entries(value);
    return Object.fromEntries(
      entries.map(([key, item]) => [key, withColours(item, COLOUR_KEYS.has(key))]));
  }
  const named = isColour && typeof value === "string" && value.startsWith("--");
  return named ? cssValue(value) : value;
}

/* Fonts, grid and ground of the theme, under whatever the figure itself says. */
function themeTemplate() {
  const axis = {
    gridcolor: cssValue("--grid"), linecolor: cssValue("--line"), zeroline: false,
    tickfont: { size: 12 }, title: { font: { size: 12, color: cssValue("--muted") } },
    ticks: "", ticklabelstandoff: 4, automargin: false,
  };
  return { layout: {
    font: { family: cssValue("--sans"), size: 12.5, color: cssValue("--ink") },
    paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)",
    xaxis: axis, yaxis: axis,
    hoverlabel: {
      bgcolor: cssValue("--raised"), bordercolor: cssValue("--line"), align: "left",
      font: { color: cssValue("--ink"), size: 13 },
    },
  } };
}

/* Hover texts of a matrix of pairs, put together here so that the page need not hold them all. */
function withPairTexts(trace) {
  if (!("pair_names" in trace)) return trace;
  const { pair_names: names, pair_low: low, pair_high: high, ...rest } = trace;
  const known = (value) => value !== null && value !== undefined;
  const text = (row, column) => {
    const value = rest.z[row][column];
    if (!known(value)) return "";
    const bounded = low !== undefined && known(low[row][column]) && known(high[row][column]);
    const interval = bounded
      ? ` [${low[row][column].toFixed(2)}, ${high[row][column].toFixed(2)}]` : "";
    return `<b>${names[row]}</b><br><b>${names[column]}</b><br>${value.toFixed(3)}${interval}`;
  };
  const hovertext = names.map((_, row) => names.map((_, column) => text(row, column)));
  return { ...rest, hovertext };
}

/* One row of buttons; `choose` is called with the value of the pressed one. */
function addChoice(parent, label, options, choose) {
  const group = document.createElement("fieldset");
  group.className = "choice";
  group.setAttribute("aria-label", label);
  const title = document.createElement("span");
  title.textContent = label;
  group.append(title);
  const buttons = options.map(([value, text], index) => {
    const button = document.createElement("button");
    button.type = "button";
    button.textContent = text;
    button.setAttribute("aria-pressed", String(index === 0));
    button.addEventListener("click", () => {
      buttons.forEach((other) => other.setAttribute("aria-pressed", String(other === button)));
      choose(value);
    });
    return button;
  });
  group.append(...buttons);
  parent.append(group);
}

function addScaleSwitch(parent, change) {
  const group = document.createElement("div");
  group.className = "choice";
  const label = document.createElement("label");
  const box = document.createElement("input");
  box.type = "checkbox";
  box.checked = true;
  box.addEventListener("change", () => change(box.checked));
  label.append(box, "same scale in all panels");
  group.append(label);
  parent.append(group);
}

/* A button that saves the figure as it stands, as SVG: for papers and slides. */
function addSave(parent, plot, name) {
  const button = document.createElement("button");
  button.type = "button";
  button.className = "save";
  button.textContent = "Save as SVG";
  button.addEventListener("click", () => Plotly.downloadImage(plot, {
    format: "svg", filename: name, width: plot.clientWidth, height: plot.clientHeight,
  }));
  parent.append(button);
}

class PageFigure {
  constructor(element, content) {
    this.element = element;
    this.plot = element.querySelector(".plot");
    this.note = element.querySelector(".note");
    this.content = content;
    this.chosen = this.content.choices.map((choice) => choice.options[0][0]);
    this.sameScale = true;
    const controls = element.querySelector(".controls");
    this.content.choices.forEach((choice, index) => {
      if (choice.options.length < 2) return;
      addChoice(controls, choice.label, choice.options, (value) => {
        this.chosen[index] = value;
        this.draw();
      });
    });
    if (this.content.scale_switch && this.panels() > 1) {
      addScaleSwitch(controls, (same) => { this.sameScale = same; this.draw(); });
    }
    addSave(controls, this.plot, element.dataset.figure);
  }

  view() { return this.content.views[this.chosen.join(SEPARATOR)]; }

  layouts() { return this.view().layouts.map((place) => this.content.layouts[place]); }

  panels() {
    return Object.keys(this.layouts()[0].layout).filter((key) => key.startsWith("xaxis")).length;
  }

  draw() {
    const view = this.view();
    this.note.textContent = view.note;
    const available = this.element.clientWidth;
    const layouts = this.layouts();
    const fitting = layouts.find((entry) => entry.min_width <= available) || layouts.at(-1);
    const { minimum_width: least = 0, maximum_width: most = Infinity, ...layout } =
      withColours(fitting.layout);
    if (!this.sameScale) {
      Object.entries(layout)
        .filter(([key]) => key.startsWith("xaxis"))
        .forEach(([, axis]) => delete axis.matches);
    }
    layout.width = Math.max(Math.min(available, most), least);
    layout.template = themeTemplate();
    this.plot.style.height = `${layout.height}px`;
    this.plot.style.width = `${layout.width}px`;
    return Plotly.react(this.plot, withColours(view.data).map(withPairTexts), layout, {
      displayModeBar: false, responsive: false,
    });
  }
}

function sayBroken(element, why) {
  const note = element.querySelector(".note");
  element.dataset.drawn = "no";
  note.classList.add("broken");
  note.textContent = `This figure could not be drawn: ${why}`;
}

async function startFigures() {
  const elements = [...document.querySelectorAll("[data-figure]")];
  if (!CAN_UNPACK) {
    const newer = "it takes Chrome or Edge 80, Firefox 113, Safari 16.4, or later.";
    elements.forEach((element) => sayBroken(element, newer));
    return;
  }
  const script = document.createElement("script");
  script.textContent = await unpack(document.getElementById("plotly").textContent);
  document.head.append(script);
  const figures = [];
  for (const element of elements) {
    try {
      const content = JSON.parse(await unpack(element.querySelector("script").textContent));
      const figure = new PageFigure(element, content);
      await figure.draw();
      figures.push(figure);
      element.dataset.drawn = "yes";
    } catch (error) {
      sayBroken(element, error.message);
    }
  }
  const redraw = () => figures.forEach((figure) => figure.draw());
  let waiting = null;
  let width = document.body.clientWidth;
  new ResizeObserver(() => {
    // Only the width matters: drawing itself changes the height of the page.
    if (document.body.clientWidth === width) return;
    width = document.body.clientWidth;
    clearTimeout(waiting);
    waiting = setTimeout(redraw, 80);
  }).observe(document.body);
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", redraw);
}

/* Tables of which one is shown at a time; each has a key with one value a choice. */
function startSwitch(element) {
  const tables = [...element.querySelectorAll("[data-key]")];
  const keys = tables.map((table) => JSON.parse(table.dataset.key));
  const chosen = [...keys[0]];
  const show = () => tables.forEach((table, index) => {
    table.hidden = keys[index].some((value, place) => value !== chosen[place]);
  });
  JSON.parse(element.dataset.labels).forEach((label, place) => {
    const values = [...new Set(keys.map((key) => key[place]))];
    if (values.length < 2) return;
    addChoice(element.querySelector(".controls"), label, values.map((value) => [value, value]),
      (value) => { chosen[place] = value; show(); });
  });
  show();
}

function startSorting(table) {
  const headings = [...table.tHead.rows[0].cells];
  const body = table.tBodies[0];
  const valueOf = (row, column) => {
    const cell = row.cells[column];
    if (!("value" in cell.dataset)) return cell.textContent;
    return cell.dataset.value === "" ? null : Number(cell.dataset.value);
  };
  headings.forEach((heading, column) => {
    heading.querySelector("button")?.addEventListener("click", () => {
      // Numbers start with the largest, words with the first.
      const words = !heading.classList.contains("number");
      const down = heading.getAttribute("aria-sort") === "ascending" ||
        (!words && heading.getAttribute("aria-sort") === null);
      headings.forEach((other) => other.removeAttribute("aria-sort"));
      heading.setAttribute("aria-sort", down ? "descending" : "ascending");
      const sign = down ? -1 : 1;
      const rows = [...body.rows].map((row) => [valueOf(row, column), row]);
      rows.sort(([a], [b]) => {
        // Missing values stay at the end, whichever way the rest is sorted.
        if (a === null || b === null) return (a === null) - (b === null);
        if (typeof a === "string") return sign * a.localeCompare(b, undefined, { numeric: true });
        return sign * (a - b);
      });
      body.append(...rows.map(([, row]) => row));
    });
  });
}

/* Copies of small tables, for a page that travels without its folder. */
async function startCopies() {
  if (!CAN_UNPACK) return;
  for (const link of document.querySelectorAll("[data-packed]")) {
    const copy = new Blob([await unpack(link.dataset.packed)], { type: "text/csv" });
    link.href = URL.createObjectURL(copy);
  }
}

startFigures().then(startCopies);
document.querySelectorAll(".switch").forEach(startSwitch);
document.querySelectorAll(".sortable").forEach(startSorting);
