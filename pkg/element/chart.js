// A line chart of a few numbers, and below it, one click away, the same numbers as a table: for those
// who do not see the line, and for those who want to know exactly.

import uPlot from "../vendor/uplot.js";
import { details, make, visible } from "./make.js";
import { table } from "./table.js";
import { count, fileText } from "./values.js";

const HEIGHT = 200;
const LONGEST_LABEL = 300;
// Two charts stand beside each other on paper (A4).
const WIDTH_ON_PAPER = 320;

/** Every chart on the screen. @type {Set<Chart>} */
const drawn = new Set();

matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => redrawCharts());

/**
 * Draws all charts again: other colors, or the width of paper.
 * @param {{ onPaper?: boolean }} [options]
 */
export function redrawCharts({ onPaper = false } = {}) {
  for (const chart of [...drawn]) chart.draw(onPaper ? WIDTH_ON_PAPER : undefined);
}

/**
 * @param {string} title
 * @param {string} across what the points are ordered by
 * @param {[x: number, y: number][]} points by rising x
 */
export function chartView(title, across, points) {
  const name = visible(title.slice(0, LONGEST_LABEL));
  const values = points.map(([, y]) => y);
  const label =
    `${name}, a line chart of ${points.length} points: from ${values[0]} to ${values.at(-1)}, ` +
    `lowest ${extreme(values, Math.min)}, highest ${extreme(values, Math.max)}. The table below it has the numbers.`;
  const plot = make("div", { class: "plot", role: "img", "aria-label": label });
  new Chart(plot, across, points);
  return make("figure", { class: "chart" }, make("figcaption", null, fileText(title)), plot, numbers(name, across, points));
}

/**
 * @param {number[]} values
 * @param {(a: number, b: number) => number} pick
 */
function extreme(values, pick) {
  return values.reduce((a, b) => pick(a, b));
}

/**
 * The table, made when it is first opened. Paper has the same numbers once already, among the updates
 * and checkpoints.
 *
 * @param {string} title
 * @param {string} across
 * @param {[x: number, y: number][]} points
 */
function numbers(title, across, points) {
  const column = across[0].toUpperCase() + across.slice(1);
  const place = make("div", null);
  const whole = details(make("span", null, "The numbers", make("span", { class: "unseen" }, ` of: ${title}`)), place);
  whole.classList.add("numbers", "screen-only");
  whole.addEventListener("toggle", () => {
    if (!whole.open || place.hasChildNodes()) return;
    const [rows, more] = table({
      label: title,
      columns: [column, "Value"],
      items: points,
      cells: ([x, y]) => [count(x), String(y)],
      named: "numbers",
    });
    place.append(rows);
    if (more) place.append(more);
  });
  return whole;
}

class Chart {
  /** @type {HTMLElement} */ #place;
  /** @type {string} */ #across;
  /** @type {[number, number][]} */ #points;
  /** @type {uPlot | null} */ #plot = null;

  /**
   * @param {HTMLElement} place
   * @param {string} across
   * @param {[number, number][]} points
   */
  constructor(place, across, points) {
    this.#place = place;
    this.#across = across;
    this.#points = points;
    // Tells the width when the place comes onto the page and when that changes, and 0 when it goes.
    new ResizeObserver(() => (place.clientWidth > 0 ? this.draw() : this.#clear())).observe(place);
  }

  draw(width = this.#place.clientWidth) {
    this.#clear();
    const style = getComputedStyle(this.#place);
    const font = `13px ${style.fontFamily}`;
    /** @type {uPlot.Axis} */
    const axis = { stroke: style.color, font, grid: { stroke: style.borderTopColor, width: 1 }, ticks: { stroke: style.borderTopColor, width: 1 } };
    /** @type {uPlot.Options} */
    const options = {
      width,
      height: HEIGHT,
      legend: { show: false },
      cursor: { show: false },
      scales: { x: { time: false } },
      axes: [
        { ...axis, label: this.#across, labelFont: font, labelSize: 20, size: 32, incrs: WHOLE },
        { ...axis, size: 60 },
      ],
      series: [{}, { stroke: style.fill, width: 2, points: { show: this.#points.length <= 60, size: 7, fill: style.fill } }],
    };
    const data = /** @type {uPlot.AlignedData} */ ([this.#points.map(([x]) => x), this.#points.map(([, y]) => y)]);
    this.#plot = new uPlot(options, data, this.#place);
    drawn.add(this);
  }

  #clear() {
    this.#plot?.destroy();
    this.#plot = null;
    drawn.delete(this);
  }
}

// There is no half a step: 1, 2, 5, 10, 20, …
const WHOLE = Array.from({ length: 40 }, (_, i) => [1, 2, 5][i % 3] * 10 ** Math.floor(i / 3));
