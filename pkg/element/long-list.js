// A list that may be long: its first rows, a button for all of them, and a box that finds rows.
//
// An evidence file may hold thousands of openings. Rows are made a slice at a time, so that the page
// answers while they come; the style sheet lets the browser skip drawing those that are out of sight,
// which its own search and a screen reader still find.

import { make, put } from "./make.js";
import { count } from "./values.js";

const FIRST = 50;
/** How long rows are made before the page may do something else, in milliseconds. */
const SLICE = 12;

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
    list.append(...makers.slice(0, FIRST).map((_, i) => this.#row(i)));
    this.#shown = FIRST;
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

  /** @param {string} text */
  #find(text) {
    this.#sought = plain(text.trim());
    this.#most = FIRST;
    this.#fill(0);
  }

  async #showAll() {
    const before = this.#shown;
    this.#most = Infinity;
    // The button goes: the focus moves on to the first row that was not there.
    const next = this.#sought === "" ? this.#row(before) : null;
    if (next) {
      this.#list.append(next);
      this.#shown += 1;
      next.tabIndex = -1;
      next.focus();
      await this.#fill(before + 1, this.#shown);
    } else {
      this.#list.tabIndex = -1;
      this.#list.focus();
      await this.#fill(0);
    }
  }

  /**
   * Shows what is sought among the items from `from` on, after the `kept` rows that are there.
   * @param {number} from
   * @param {number} [kept]
   */
  async #fill(from, kept = 0) {
    const task = ++this.#task;
    if (kept === 0) put(this.#list);
    this.#shown = kept;
    this.#all.hidden = true;
    let found = kept;
    for (let i = from; i < this.#makers.length; ) {
      const slice = document.createDocumentFragment();
      for (const until = performance.now() + SLICE; i < this.#makers.length && performance.now() < until; i += 1) {
        if (this.#sought !== "" && !plain(this.#row(i).textContent).includes(this.#sought)) continue;
        found += 1;
        if (this.#shown === this.#most) continue;
        slice.append(this.#row(i));
        this.#shown += 1;
      }
      this.#list.append(slice);
      if (this.#sought === "" && this.#shown === this.#most) found = i = this.#makers.length;
      if (i === this.#makers.length) break;
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
