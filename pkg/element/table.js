// A table, which on a narrow screen lays out its rows as blocks, each cell with its column's name. So
// the roles repeat what a table is.

import { fillList } from "./long-list.js";
import { make } from "./make.js";

/** @import { Child } from "./make.js" */

/**
 * @template T
 * @param {object} options
 * @param {string} options.label what the table holds
 * @param {string} [options.style] class of the table
 * @param {string[]} options.columns
 * @param {T[]} options.items
 * @param {(item: T) => (Child | Child[])[]} options.cells
 * @param {boolean} [options.headed] the first cell of a row names the row
 * @param {string} [options.named] what the items are called, for a box that finds some
 * @returns {[table: HTMLTableElement, below: HTMLElement | null]}
 */
export function table({ label, style = "", columns, items, cells, headed = false, named }) {
  const body = make("tbody", { role: "rowgroup" });
  const whole = make(
    "table",
    { class: `stacks ${style}`.trim(), role: "table", "aria-label": label },
    make(
      "thead",
      { role: "rowgroup" },
      make("tr", { role: "row" }, ...columns.map((name) => make("th", { scope: "col", role: "columnheader" }, name))),
    ),
    body,
  );
  const row = (/** @type {T} */ item) =>
    make("tr", { role: "row" }, ...cells(item).map((content, i) => cell(columns[i], content, headed && i === 0)));
  return [whole, fillList(body, items, row, { named })];
}

/**
 * @param {string} column
 * @param {Child | Child[]} content
 * @param {boolean} head
 */
function cell(column, content, head) {
  const parts = Array.isArray(content) ? content : [content];
  if (head) return make("th", { scope: "row", role: "rowheader" }, ...parts);
  return make(
    "td",
    { role: "cell", "data-column": column, class: content === "" ? "none" : null },
    make("div", null, ...parts),
  );
}
