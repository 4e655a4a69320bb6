// <rlhf-audit-verifier src policy>: verifies an evidence file and shows the report.
//
//   src      address of an evidence file to verify
//   policy   address of keys to propose; they never count until the person chooses them
//
// Events: `verified` (the verdict is not `failed`) and `failed`. Their detail is the report,
// or `{ error }` when the file could not be read.

import { UnreadableEarlier, UnreadableEvidence, UnusablePolicy, verify } from "./index.js";
import { anchorsView } from "./element/anchors-view.js";
import { cardView } from "./element/card-view.js";
import { redrawCharts } from "./element/chart.js";
import { EarlierPanel } from "./element/earlier-panel.js";
import { EntryDialog } from "./element/entry-dialog.js";
import { sentence, today } from "./element/key-form.js";
import { icon, make, put } from "./element/make.js";
import { looksLikeModel } from "./element/model-files.js";
import { ModelPanel } from "./element/model-panel.js";
import { looksLikePolicy } from "./element/policy-files.js";
import { PolicyPanel } from "./element/policy-panel.js";
import { checksView, establishedView, logView, verdictView } from "./element/report-view.js";
import { STYLE } from "./element/style.js";
import { byteSize, capital, hash } from "./element/values.js";
import { weightsView } from "./element/weights-view.js";
import { PRINTED, VERIFIER_FAULT } from "./element/words.js";

/** @import { Report } from "./index.js" */

// Larger files would not fit into the memory of a 32-bit WebAssembly module.
const LARGEST = 1_000_000_000;

/** @typedef {{ name: string, bytes: Uint8Array, from: string | null }} Evidence */

export class RlhfAuditVerifier extends HTMLElement {
  static observedAttributes = ["src", "policy"];

  /** @type {Evidence | null} */ #evidence = null;
  /** @type {Report | null} */ #report = null;
  #task = 0;

  #panel = new PolicyPanel((asked) => this.#keysChanged(asked));
  #model = new ModelPanel(() => this.#broughtChanged());
  #earlier = new EarlierPanel(() => this.#broughtChanged());
  #brought = [this.#model, this.#earlier];
  #dialog = new EntryDialog();
  #live = make("p", { class: "unseen", role: "status" });
  #start = make("section", { class: "start screen-only", "aria-label": "Choose an evidence file" });
  #facts = make("dl", { class: "facts" });
  #actions = make("p", { class: "buttons screen-only" });
  #file = make("section", { class: "file", "aria-label": "The file", hidden: true }, this.#facts, this.#actions);
  #verdict = make("div", { class: "slot" });
  #details = make("div", { class: "slot" });
  #page = make("div", { class: "verifier" }, this.#live, this.#start, this.#verdict, this.#file, this.#panel.node, this.#model.node, this.#earlier.node, this.#details);
  #input = make("input", { type: "file", hidden: true });
  /** @type {HTMLDetailsElement[]} */ #openedToPrint = [];

  constructor() {
    super();
    const shadow = this.attachShadow({ mode: "open" });
    const sheet = new CSSStyleSheet();
    sheet.replaceSync(STYLE);
    shadow.adoptedStyleSheets = [sheet];

    this.#input.addEventListener("change", () => {
      const files = [...(this.#input.files ?? [])];
      this.#input.value = "";
      if (files.some((file) => looksLikeModel(file.name))) this.openDropped(files);
      else if (files[0]) this.open(files[0]);
    });
    this.#start.append(
      make("p", { class: "invite" }, "Drop an evidence file here"),
      make("p", { class: "quiet" }, "Its name usually ends in .evidence. It is read on this device and sent nowhere."),
      make("button", { type: "button", class: "primary", click: () => this.#input.click() }, "Choose an evidence file…"),
      this.#input,
    );
    shadow.append(this.#page, this.#dialog.node);
    this.addEventListener("dragover", (event) => this.#dragOver(event));
    this.addEventListener("dragleave", () => this.#start.classList.remove("over"));
    this.addEventListener("drop", (event) => this.#drop(event));
  }

  connectedCallback() {
    addEventListener("beforeprint", this.#beforePrint);
    addEventListener("afterprint", this.#afterPrint);
  }

  disconnectedCallback() {
    removeEventListener("beforeprint", this.#beforePrint);
    removeEventListener("afterprint", this.#afterPrint);
  }

  /**
   * @param {string} name
   * @param {string | null} before
   * @param {string | null} now
   */
  attributeChangedCallback(name, before, now) {
    if (before === now) return;
    if (name === "policy") this.#panel.propose(now);
    else if (now) this.#fetch(now);
    else this.reset();
  }

  /** The report of the file now shown, or null. */
  get report() {
    return this.#report;
  }

  /** Name of the file now shown, or null. */
  get fileName() {
    return this.#evidence?.name ?? null;
  }

  /**
   * Verifies a file that the person gave to the page.
   * @param {File} file
   */
  async open(file) {
    this.#forgetBrought();
    const task = this.#begin();
    try {
      if (file.size > LARGEST) throw new Error("The file is larger than this page can read (1 GB). Use “rlhf-audit verify” instead.");
      const bytes = new Uint8Array(await file.arrayBuffer());
      if (task === this.#task) await this.#check({ name: file.name, bytes, from: null }, true);
    } catch (error) {
      if (task === this.#task) this.#showProblem("This file could not be opened", readError(error), true, error);
    }
  }

  /**
   * Takes what the person dropped: an evidence file, files of a policy, the files of a model, or
   * evidence and a model together.
   * @param {File[]} files
   */
  async openDropped(files) {
    const model = files.filter((file) => looksLikeModel(file.name));
    const others = files.filter((file) => !looksLikeModel(file.name));
    if (others.length > 1 || (others.length === 1 && looksLikePolicy(others[0].name))) await this.#panel.openFiles(others);
    else if (others.length === 1) await this.open(others[0]);
    if (model.length === 0) return;
    if (this.#report) await this.#model.open(model);
    else if (others.length === 0) this.refuse("This is a model. Open the evidence file first, then drop the model here.");
  }

  /** Forgets the file. The chosen keys stay. */
  reset() {
    this.#task += 1;
    this.#evidence = null;
    this.#report = null;
    this.#forgetBrought();
    for (const { node } of this.#brought) node.hidden = true;
    this.#start.hidden = false;
    this.#file.hidden = true;
    put(this.#facts);
    put(this.#verdict);
    put(this.#details);
    put(this.#live);
    this.dispatchEvent(new CustomEvent("reset"));
  }

  /** What the person brought along belongs to the evidence it was brought for. */
  #forgetBrought() {
    for (const panel of this.#brought) panel.forget();
  }

  /** Says that something asked for could not be done. @param {string} text */
  refuse(text) {
    this.#forgetBrought();
    this.#begin();
    this.#showProblem("This file could not be opened", text, false, new Error(text));
  }

  /** @param {string} address */
  async #fetch(address) {
    this.#forgetBrought();
    const task = this.#begin();
    try {
      const url = new URL(address, document.baseURI);
      const response = await fetch(url);
      if (!response.ok) throw new Error(`The address ${url.href} answered “${response.status} ${response.statusText}”.`);
      const bytes = new Uint8Array(await response.arrayBuffer());
      const name = decodeURIComponent(url.pathname.split("/").at(-1) || url.host);
      if (task === this.#task) await this.#check({ name, bytes, from: url.href }, false);
    } catch (error) {
      // The browser's own words for a failed fetch say nothing to people.
      const text = error instanceof TypeError ? `Nothing could be fetched from ${address}.` : sentence(error);
      if (task === this.#task) this.#showProblem("This file could not be opened", text, false, error);
    }
  }

  /** @param {boolean} asked */
  #keysChanged(asked) {
    if (this.#evidence) this.#check(this.#evidence, asked);
  }

  /** The same file, with the model and the earlier file that are now there or without. */
  async #broughtChanged() {
    if (!this.#evidence) return;
    if (!this.#report) return this.#check(this.#evidence, false);
    const task = ++this.#task;
    const report = await this.#verify(this.#evidence);
    if (task === this.#task) this.#showReport(report, false);
  }

  /** @param {Evidence} evidence */
  #verify({ bytes }) {
    const earlier = this.#earlier.bytes;
    if (earlier && earlier.length + bytes.length > LARGEST) {
      throw new UnreadableEarlier("The two files together are larger than this page can read (1 GB). Use “rlhf-audit verify --earlier” instead.");
    }
    const policy = this.#panel.policy && { ...this.#panel.policy, today: today() };
    return verify(bytes, policy, { weights: this.#model.held, earlier });
  }

  /** Starts something new: whatever still runs has lost. */
  #begin() {
    this.#evidence = null;
    this.#report = null;
    this.#start.hidden = true;
    this.#file.hidden = false;
    for (const { node } of this.#brought) node.hidden = true;
    put(this.#facts);
    put(this.#actions);
    put(this.#details);
    put(this.#verdict, make("div", { class: "checking" }, make("p", null, "Checking…"), make("div", { class: "bar" })));
    put(this.#live, "Checking…");
    return ++this.#task;
  }

  /**
   * @param {Evidence} evidence
   * @param {boolean} asked whether the person just asked for it, and wants to be taken to the verdict
   */
  async #check(evidence, asked) {
    const task = this.#begin();
    this.#evidence = evidence;
    this.#showFile(evidence);
    await painted();
    try {
      const report = await this.#verify(evidence);
      if (task === this.#task) this.#showReport(report, asked);
    } catch (error) {
      if (task !== this.#task) return;
      if (error instanceof UnusablePolicy) {
        this.#showProblem("Your policy could not be used", error.message, asked, error);
      } else if (error instanceof UnreadableEvidence) {
        this.#showProblem("This file could not be read as evidence", error.message, asked, error);
      } else {
        console.error(error);
        this.#showProblem("The check could not be finished", VERIFIER_FAULT, asked, error);
      }
    }
  }

  /**
   * @param {Report} report
   * @param {boolean} asked
   */
  #showReport(report, asked) {
    this.#report = report;
    this.#showActions(true);
    const evidence = /** @type {Evidence} */ (this.#evidence);
    const title = make("h2", { id: "verdict-title", tabindex: "-1" }, report.verdict_text);
    const showEntry = (/** @type {number} */ index) => this.#dialog.open(evidence.bytes, report.size, index);
    put(this.#verdict, verdictView(report, evidence.name, title, () => this.#panel.startAdding(), this.#model.answer(report)), establishedView(report));
    put(
      this.#details,
      checksView(report),
      anchorsView(report),
      cardView(report.card, showEntry),
      weightsView(report, showEntry),
      logView(report, showEntry),
      make("p", { class: "print-only" }, `Verified on ${new Date().toISOString().slice(0, 10)}, by this device’s clock. ${PRINTED}`),
    );
    this.#announce(title, report.verdict_text, asked);
    for (const panel of this.#brought) {
      panel.node.hidden = false;
      panel.show(report);
    }
    this.#tell(report.verdict === "failed" ? "failed" : "verified", report);
  }

  /**
   * @param {string} what
   * @param {string} why
   * @param {boolean} asked
   * @param {unknown} error
   */
  #showProblem(what, why, asked, error) {
    this.#showActions(false);
    const title = make("h2", { id: "verdict-title", tabindex: "-1" }, what);
    put(
      this.#verdict,
      make(
        "section",
        { class: "verdict unreadable", "aria-labelledby": "verdict-title" },
        make("div", { class: "band" }, icon("fail"), make("div", null, make("p", { class: "kicker" }, "No verdict", this.fileName && " on ", this.fileName && make("bdi", null, this.fileName)), title)),
        make("div", { class: "body" }, make("p", null, capital(why))),
      ),
    );
    this.#announce(title, `${what}. ${why}`, asked);
    this.#tell("failed", { error });
  }

  /**
   * @param {"verified" | "failed"} event
   * @param {Report | { error: unknown }} detail
   */
  #tell(event, detail) {
    this.dispatchEvent(new CustomEvent(event, { bubbles: true, composed: true, detail }));
  }

  /**
   * The focus goes to the verdict if the person asked for it. Otherwise a screen reader is
   * told: a page that has just loaded must not pull anybody down to it.
   * @param {HTMLElement} title
   * @param {string} text
   * @param {boolean} asked
   */
  #announce(title, text, asked) {
    put(this.#live, asked ? "" : text);
    if (asked) title.focus();
  }

  /** Facts about the file itself, which are no part of the report. @param {Evidence} evidence */
  #showFile({ name, from, bytes }) {
    const digest = make("dd", null, "…");
    put(
      this.#facts,
      make("dt", null, "File"),
      make("dd", null, make("bdi", null, name)),
      from && make("dt", null, "Fetched from"),
      from && make("dd", null, hash(from)),
      make("dt", null, "Size"),
      make("dd", null, byteSize(bytes.length)),
      make("dt", null, "SHA-256"),
      digest,
    );
    fileDigest(bytes).then((found) => put(digest, found === null ? "This browser computes none on this page." : hash(found)));
  }

  /** @param {boolean} hasReport */
  #showActions(hasReport) {
    put(
      this.#actions,
      hasReport && make("button", { type: "button", click: () => print() }, "Print"),
      hasReport && make("button", { type: "button", click: () => this.#saveReport() }, "Save the report (JSON)"),
      make("button", { type: "button", click: () => this.#startOver() }, "Start over"),
    );
  }

  #startOver() {
    this.reset();
    this.#start.querySelector("button")?.focus();
  }

  #saveReport() {
    const text = `${JSON.stringify(this.#report, null, 2)}\n`;
    const url = URL.createObjectURL(new Blob([text], { type: "application/json" }));
    make("a", { href: url, download: `${this.#evidence?.name}.report.json` }).click();
    setTimeout(() => URL.revokeObjectURL(url), 60_000);
  }

  /** @param {DragEvent} event */
  #dragOver(event) {
    if (!event.dataTransfer?.types.includes("Files")) return;
    event.preventDefault();
    this.#start.classList.add("over");
  }

  /** @param {DragEvent} event */
  #drop(event) {
    if (!event.dataTransfer?.types.includes("Files")) return;
    event.preventDefault();
    event.stopPropagation();
    this.#start.classList.remove("over");
    const files = [...event.dataTransfer.files];
    // Whatever is dropped where a model or an earlier file belongs is meant to be one.
    if (event.composedPath().includes(this.#model.node)) this.#model.open(files);
    else if (event.composedPath().includes(this.#earlier.node)) this.#earlier.open(files);
    else this.openDropped(files);
  }

  // On paper nothing is one click away: what is folded is opened, and folded again afterwards.
  // (The style sheet keeps very long text and the form for keys out.)
  #beforePrint = () => {
    const folded = /** @type {NodeListOf<HTMLDetailsElement>} */ (
        this.#page.querySelectorAll(
          ":is(.slot, .model-panel, .earlier-panel) details:not([open], .screen-only)",
        )
    );
    this.#openedToPrint = [...folded];
    for (const one of folded) one.open = true;
    this.#page.classList.add("on-paper");
    redrawCharts({ onPaper: true });
  };

  #afterPrint = () => {
    for (const one of this.#openedToPrint) one.open = false;
    this.#openedToPrint = [];
    this.#page.classList.remove("on-paper");
    redrawCharts();
  };
}

/**
 * SHA-256 of the file, as `sha256sum` prints it; null where the browser offers none, which
 * some do not on pages opened from a disk.
 * @param {Uint8Array} bytes
 */
async function fileDigest(bytes) {
  if (!globalThis.crypto?.subtle) return null;
  try {
    const digest = await crypto.subtle.digest("SHA-256", /** @type {Uint8Array<ArrayBuffer>} */ (bytes));
    return [...new Uint8Array(digest)].map((byte) => byte.toString(16).padStart(2, "0")).join("");
  } catch {
    return null;
  }
}

/** Waits until “Checking…” is on the screen; a page in the background draws nothing, so not for long. */
function painted() {
  return new Promise((resolve) => {
    requestAnimationFrame(() => setTimeout(resolve));
    setTimeout(resolve, 200);
  });
}

/** @param {unknown} error */
function readError(error) {
  if (error instanceof DOMException) return "The browser could not read it. Was it moved or changed, or is it a folder?";
  return sentence(error);
}

customElements.define("rlhf-audit-verifier", RlhfAuditVerifier);
