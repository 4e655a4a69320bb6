// “Check a model”: the person brings a model, it is digested here, and the report says whether it is
// one of those in the log. This panel holds the model; the report is made elsewhere.

import { UnreadableWeights, digestWeights } from "../index.js";
import { sentence } from "./key-form.js";
import { details, icon, make, put } from "./make.js";
import { modelFiles } from "./model-files.js";
import { byteSize, capital, count, fileText, hash } from "./values.js";
import { ABOUT_MODEL_CHECK, MODEL_FAULT, MODEL_OUTCOME } from "./words.js";

/** @import { Report } from "../index.js" */

/**
 * @typedef {object} Model
 * @property {string[]} names of its files
 * @property {string} root
 * @property {string} sketch SHA-256 of the sketch
 * @property {number} tensors
 * @property {number} bytes
 */

/**
 * @typedef {object} ModelAnswer what the report says of the model that the person brought
 * @property {string[]} names of its files
 * @property {"pass" | "earlier" | "fail" | "absent"} outcome
 * @property {string} reason
 */

// As many as the report compares.
const MOST_MODELS = 16;

export class ModelPanel {
  /** @type {HTMLElement} */ node;
  /** @type {() => Promise<void>} */ #onChange;
  /** @type {Model | null} */ #model = null;
  /** @type {Model[]} models looked at before that are in the log: their sketches stay computed again */ #others = [];
  /** @type {AbortController | null} what stops the reading that is under way */ #reading = null;

  #title = make("h2", { id: "model-title" }, "Check a model");
  #content = make("div", { class: "model" });
  #live = make("p", { class: "unseen", role: "status" });
  #input = make("input", { type: "file", multiple: true, accept: ".safetensors", hidden: true });

  /** @param {() => Promise<void>} onChange there is a model, another one or none: make a new report */
  constructor(onChange) {
    this.#onChange = onChange;
    this.#input.addEventListener("change", () => {
      const files = [...(this.#input.files ?? [])];
      this.#input.value = "";
      if (files.length > 0) this.open(files);
    });
    this.node = make(
      "section",
      { class: "panel model-panel", "aria-labelledby": "model-title", hidden: true },
      this.#title,
      details("What does this check?", make("p", null, ABOUT_MODEL_CHECK)),
      this.#live,
      this.#content,
      this.#input,
    );
    this.#invite();
  }

  /** The models that are here. */
  get held() {
    if (this.#model === null) return [];
    const before = this.#others.map(({ root, sketch }) => ({ root, sketch, answered: true }));
    return [...before, { root: this.#model.root, sketch: this.#model.sketch }];
  }

  /** Another file is looked at, or none. */
  forget() {
    this.#stop();
    this.#model = null;
    this.#others = [];
    this.#invite();
  }

  /** @param {File[]} files one model */
  async open(files) {
    this.#stop();
    const had = this.#model;
    this.#model = null;
    const reading = new AbortController();
    this.#reading = reading;
    const [show, cancel] = this.#progress();
    cancel.focus();
    try {
      if (had) await this.#onChange();
      const chosen = modelFiles(files);
      const digest = await digestWeights(chosen, { onProgress: show, signal: reading.signal });
      if (reading !== this.#reading) return;
      this.#reading = null;
      this.#model = { names: chosen.map((file) => file.name), ...digest };
      await this.#onChange();
      this.#content.querySelector("h3")?.focus();
    } catch (error) {
      if (reading.signal.aborted) return;
      this.#reading = null;
      this.#problem(error);
    }
  }

  /**
   * What the report says of the model, if there is one.
   * @param {Report} report
   * @returns {ModelAnswer | null}
   */
  answer(report) {
    const check = report.checks.find((check) => check.name === "weights");
    if (this.#model === null || check === undefined) return null;
    const earlier = check.result === "pass" && report.weights.at(-1)?.root !== this.#model.root;
    return { names: this.#model.names, outcome: earlier ? "earlier" : check.result, reason: check.reason };
  }

  /** @param {Report} report */
  show(report) {
    const model = this.#model;
    const answer = this.answer(report);
    const again = report.checks.find((check) => check.name === "weights.sketch");
    if (model === null || answer === null) return;
    const { outcome, reason } = answer;
    const others = this.#others.filter((other) => other.root !== model.root);
    if (outcome === "pass" || outcome === "earlier") this.#others = [...others, model].slice(-MOST_MODELS);
    const words = MODEL_OUTCOME[outcome];
    // No tick beside a model that is not the last one.
    const mark = outcome === "earlier" ? "absent" : outcome;
    put(this.#live);
    put(
      this.#content,
      make(
        "div",
        { class: `outcome ${mark}` },
        icon(mark),
        make("div", null, make("h3", { tabindex: "-1" }, words.title), make("p", null, fileText(`${capital(reason)}.`)), make("p", null, words.meaning)),
      ),
      make(
        "dl",
        { class: "facts" },
        make("dt", null, model.names.length === 1 ? "File" : "Files"),
        make("dd", null, fileText(model.names.join(", "))),
        make("dt", null, "Weights"),
        make("dd", null, `${count(model.tensors)} ${model.tensors === 1 ? "tensor" : "tensors"}, ${byteSize(model.bytes)}`),
        make("dt", null, "Weight root"),
        make("dd", null, hash(model.root)),
        again && make("dt", null, "Sketch"),
        again && make("dd", null, fileText(`${capital(again.reason)}.`)),
      ),
      make(
        "p",
        { class: "buttons screen-only" },
        make("button", { type: "button", click: () => this.#remove() }, "Remove this model"),
        this.#chooseButton("Check another model…"),
      ),
    );
  }

  #stop() {
    this.#reading?.abort();
    this.#reading = null;
  }

  async #remove() {
    this.forget();
    await this.#onChange();
    this.#content.querySelector("button")?.focus();
  }

  #cancel() {
    this.#stop();
    this.#invite();
    put(this.#live, "Cancelled.");
    this.#content.querySelector("button")?.focus();
  }

  /** @param {Element[]} before */
  #invite(...before) {
    put(this.#live);
    put(
      this.#content,
      ...before,
      make(
        "div",
        { class: "drop screen-only" },
        make("p", null, "Do you hold the model, or a model said to be this one? Drop its .safetensors file here; if it is in several parts, all of them together."),
        make("p", { class: "quiet" }, "It is read on this device and sent nowhere, and may be larger than this device’s memory."),
        this.#chooseButton("Choose .safetensors files…"),
      ),
      before.length === 0 ? make("p", { class: "print-only" }, "No model was checked.") : null,
    );
  }

  /** @param {string} label */
  #chooseButton(label) {
    return make("button", { type: "button", click: () => this.#input.click() }, label);
  }

  /** @returns {[(progress: { done: number, total: number }) => void, HTMLButtonElement]} what shows progress, and the button that stops it */
  #progress() {
    const bar = make("progress", { max: 1, value: 0, "aria-label": "Reading the model" });
    const text = make("p", { class: "quiet" }, "Starting…");
    const cancel = make("button", { type: "button", click: () => this.#cancel() }, "Cancel");
    put(this.#live, "Reading the model…");
    put(this.#content, make("div", { class: "reading" }, make("p", null, "Reading the model…"), bar, text, make("p", { class: "buttons" }, cancel)));
    const show = (/** @type {{ done: number, total: number }} */ { done, total }) => {
      bar.value = total === 0 ? 1 : done / total;
      put(text, done < total ? `${Math.floor((100 * done) / total)} % of ${byteSize(total)}` : "Comparing with the log…");
    };
    return [show, cancel];
  }

  /** @param {unknown} error */
  #problem(error) {
    const refused = error instanceof UnreadableWeights;
    if (!refused) console.error(error);
    const title = make("h3", { tabindex: "-1" }, "This model could not be read");
    const text = refused ? sentence(error) : MODEL_FAULT;
    this.#invite(
      make(
        "div",
        { class: "outcome" },
        icon("fail"),
        make("div", null, title, make("p", null, fileText(text)), make("p", null, "The verdict on the evidence is as it was.")),
      ),
    );
    title.focus();
  }
}
