// One log entry, as JSON, in a dialog; with steps to the entries around it.

import { entry } from "../index.js";
import { make, put } from "./make.js";
import { count } from "./values.js";

export class EntryDialog {
  /** @type {HTMLDialogElement} */ node;
  /** @type {Uint8Array} */ #bytes = new Uint8Array();
  #size = 0;
  #index = 0;
  #title = make("h2", { id: "entry-title", tabindex: "-1" });
  #place = make("p", { class: "quiet" });
  #content = make("div", { class: "content", tabindex: "0", role: "group", "aria-labelledby": "entry-title" });
  #before = make("button", { type: "button", click: () => this.#show(this.#index - 1) }, "Previous");
  #after = make("button", { type: "button", click: () => this.#show(this.#index + 1) }, "Next");

  constructor() {
    this.node = make(
      "dialog",
      { "aria-labelledby": "entry-title" },
      make("header", null, this.#title, this.#place),
      this.#content,
      make(
        "footer",
        { class: "buttons" },
        this.#before,
        this.#after,
        make("button", { type: "button", class: "primary", click: () => this.node.close() }, "Close"),
      ),
    );
  }

  /**
   * @param {Uint8Array} bytes the evidence file
   * @param {number} size entries in the log
   * @param {number} index
   */
  open(bytes, size, index) {
    this.#bytes = bytes;
    this.#size = size;
    this.node.showModal();
    this.#show(index);
    this.#title.focus();
  }

  /** @param {number} index */
  async #show(index) {
    this.#index = index;
    put(this.#title, `Log entry ${count(index)}`);
    put(this.#place, `Entries are counted from 0; this log has ${count(this.#size)}.`);
    this.#before.disabled = index <= 0;
    this.#after.disabled = index >= this.#size - 1;
    let content;
    try {
      const json = JSON.stringify(await entry(this.#bytes, index), null, 2);
      content = make("pre", null, json);
    } catch {
      content = make("p", null, "This entry is not in the file. The producer left it out, which is allowed; only what needs it cannot be checked.");
    }
    if (index === this.#index) put(this.#content, content);
  }
}
