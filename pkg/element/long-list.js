// A list that may be long: its first rows, a button for all of them, and a box that finds rows.
//
// An evidence file may hold thousands of openings. Rows are made a slice at a time, so that the page
// answers while they come. A table's rows stand in groups, and the style sheet lets the browser skip
// groups out of sight (https://drafts.csswg.org/css-contain-2/#content-visibility), which its own search
// and a screen reader still find.

import { make, put } from "./make.js";
import { count } from "./values.js";

const FIRST = 50;
/** How long rows are made before the page may do something else, in milliseconds. */
const SLICE = 24;
/** Rows of a table in one group. */
const GROUP = 100;

let boxes = 0;

/**
 * Fills a list or a table body with a row for each item: the first fifty, and a button for the rest.
 * Returns what to put below it.
 * @template T
 * @param {HTMLElement} list
 * @param {T[]} items
 * @param {(item: T, index: number) => HTMLElement} row
 * @param {{ named?: string }} [options] `named`: what the items are called, for a box that finds some
 * @returns {HTMLElement | null}
 */
export function fillList(list, items, row, { named } = {}) {
  if (items.length <= FIRST) {
    list.append(...items.map(row));
    return null;
  }
  return new LongList(list, items.map((item, i) => () => row(item, i)), named).controls;
}

class LongList {
  /** @type {HTMLElement} */ controls;
  /** @type {HTMLElement} */ #list;
  /** @type {(() => HTMLElement)[]} */ #makers;
  /** @type {HTMLElement[]} rows made so far */ #rows = [];
  #sought = "";
  #shown = 0;
  /** @type {HTMLElement[]} groups of rows after the list itself, which is the first */ #groups = [];
  /** How many rows are shown at most. */
  #most = FIRST;
  #task = 0;
  #status = make("p", { role: "status" });
  #all = make("button", { type: "button", click: () => this.#showAll() });

  /**
   * @param {HTMLElement} list
   * @param {(() => HTMLElement)[]} makers
   * @param {string | undefined} named
   */
  constructor(list, makers, named) {
    this.#list = list;
    this.#makers = makers;
    list.classList.add("many");
    list.closest("table")?.classList.add("of-many");
    this.controls = make("div", { class: "more" }, named ? this.#finder(named) : null, this.#status, this.#all);
    for (let i = 0; i < FIRST; i += 1) this.#show(i);
    this.#tell(makers.length);
  }

  /** @param {string} named */
  #finder(named) {
    const id = `find-${++boxes}`;
    let typing = 0;
    const box = make("input", {
      id,
      type: "search",
      autocomplete: "off",
      spellcheck: "false",
      input: () => {
        clearTimeout(typing);
        typing = setTimeout(() => this.#find(box.value), 200);
      },
    });
    return make("p", { class: "find screen-only" }, make("label", { for: id }, `Find among ${count(this.#makers.length)} ${named}`), box);
  }

  /** @param {number} i */
  #row(i) {
    return (this.#rows[i] ??= this.#makers[i]());
  }

  /** @param {number} i the item whose row comes next */
  #show(i) {
    let group = this.#groups.at(-1) ?? this.#list;
    if (group instanceof HTMLTableSectionElement && group.rows.length === GROUP) {
      const next = make("tbody", { role: "rowgroup" });
      group.after(next);
      this.#groups.push(next);
      group = next;
    }
    group.append(this.#row(i));
    this.#shown += 1;
  }

  #clear() {
    for (const group of this.#groups.splice(0)) group.remove();
    put(this.#list);
    this.#shown = 0;
  }

  /** @param {string} text */
  #find(text) {
    this.#sought = plain(text.trim());
    this.#most = FIRST;
    this.#fill(0);
  }

  /** The button goes, so the focus moves on: to the first row that was not there. */
  #showAll() {
    this.#most = Infinity;
    if (this.#sought !== "") {
      this.#list.tabIndex = -1;
      this.#list.focus();
      this.#fill(0);
      return;
    }
    const next = this.#shown;
    this.#show(next);
    this.#row(next).tabIndex = -1;
    this.#row(next).focus();
    this.#fill(next + 1);
  }

  /** Shows what is sought among the items from `from` on, after what is there. @param {number} from */
  async #fill(from) {
    const task = ++this.#task;
    if (from === 0) this.#clear();
    this.#all.hidden = true;
    put(this.#status, "Listing…");
    const all = this.#makers.length;
    let found = this.#shown;
    for (let i = from; i < all; ) {
      for (const until = performance.now() + SLICE; i < all && performance.now() < until; i += 1) {
        if (this.#sought !== "" && !plain(this.#row(i).textContent).includes(this.#sought)) continue;
        found += 1;
        if (this.#shown < this.#most) this.#show(i);
        else if (this.#sought === "") found = i = all;
      }
      await new Promise((later) => setTimeout(later));
      if (task !== this.#task) return;
    }
    this.#tell(found);
  }

  /** @param {number} found */
  #tell(found) {
    const of = this.#sought === "" ? count(found) : `${count(found)} found among ${count(this.#makers.length)}`;
    put(this.#status, found === 0 ? `None found among ${count(this.#makers.length)}.` : this.#shown === found ? `All ${of} are shown.` : `The first ${count(this.#shown)} of ${of} are shown.`);
    put(this.#all, `Show all ${count(found)}`);
    this.#all.hidden = this.#shown === found;
  }
}

/** Text to compare: without capitals, and 1,234 as 1234. @param {string | null} text */
function plain(text) {
  return (text ?? "").toLowerCase().replaceAll(/(?<=\d),(?=\d\d\d)/g, "");
}
