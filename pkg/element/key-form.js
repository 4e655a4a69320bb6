// The form by which a person chooses keys: paste or open them, see their fingerprints,
// say where they come from, press the button. No other code makes a policy count.

import { describeKeys, describePublishing } from "../index.js";
import { icon, make, put } from "./make.js";
import { policyFromFiles, policyFromText, requirementWords } from "./policy-files.js";
import { capital, fileText, fingerprint } from "./values.js";
import { CANNOT_KNOW } from "./words.js";

/** @import { DescribedKey, Policy, Publishing } from "../index.js" */
/** @import { ProposedPolicy } from "./policy-files.js" */

/** @typedef {{ keys: DescribedKey[], publishing: Publishing | null }} Described */

let forms = 0;

export class KeyForm {
  /** @type {HTMLFormElement} */ node;
  /** @type {(policy: Policy) => void} */ #onUse;
  /** @type {ProposedPolicy | null} what the button would choose */ #candidate = null;
  #reading = 0;

  #text = make("textarea", { rows: 3, spellcheck: "false", autocomplete: "off", autocapitalize: "off" });
  #preview = make("div", { class: "preview", "aria-live": "polite" });
  #keysError = make("p", { class: "error", role: "alert", hidden: true });
  #source = make("input", { type: "text", autocomplete: "off", required: true });
  #sourceError = make("p", { class: "error", role: "alert", hidden: true });

  /**
   * @param {object} options
   * @param {(policy: Policy) => void} options.onUse the person chose this policy
   * @param {ProposedPolicy} [options.proposal] keys somebody else proposes; without one, the person brings keys
   * @param {string} options.use what the button says
   */
  constructor({ onUse, proposal, use }) {
    this.#onUse = onUse;
    const id = `keys-${++forms}`;
    this.#text.id = `${id}-text`;
    this.#text.setAttribute("aria-describedby", `${id}-text-hint ${id}-text-error`);
    this.#keysError.id = `${id}-text-error`;
    this.#source.id = `${id}-source`;
    this.#source.setAttribute("aria-describedby", `${id}-source-hint ${id}-source-error`);
    this.#sourceError.id = `${id}-source-error`;

    this.node = make(
      "form",
      { class: "key-form", novalidate: true, submit: (event) => this.#submit(event) },
      proposal ? null : this.#bringing(id),
      this.#keysError,
      this.#preview,
      make(
        "div",
        { class: "field" },
        make("label", { for: `${id}-source` }, "Where do these keys come from? ", make("span", { class: "quiet" }, "(required)")),
        make(
          "p",
          { class: "hint", id: `${id}-source-hint` },
          "In your words; the verdict repeats them. For example: from the producer’s letter of 3 May.",
        ),
        this.#source,
        this.#sourceError,
      ),
      make("p", { class: "caution" }, CANNOT_KNOW),
      make("button", { type: "submit", class: "primary" }, use),
    );
    this.#source.addEventListener("input", () => showError(this.#sourceError, this.#source, null));
    if (proposal) this.#read(Promise.resolve(proposal));
  }

  /** The person opened or dropped policy files. @param {File[]} files */
  openFiles(files) {
    this.#text.value = "";
    return this.#read(policyFromFiles(files));
  }

  /** @param {string} id */
  #bringing(id) {
    const files = make("input", { type: "file", multiple: true, hidden: true });
    const folder = make("input", { type: "file", webkitdirectory: true, hidden: true });
    for (const input of [files, folder]) {
      input.addEventListener("change", () => {
        if (input.files?.length) this.openFiles([...input.files]);
        input.value = "";
      });
    }
    this.#text.addEventListener("input", () => {
      const text = this.#text.value;
      if (text.trim() === "") this.#clear();
      else this.#read(Promise.resolve(policyFromText(text)));
    });
    return make(
      "div",
      { class: "field" },
      make("label", { for: `${id}-text` }, "Paste the producer’s verifier key, or a policy"),
      make(
        "p",
        { class: "hint", id: `${id}-text-hint` },
        "A verifier key is one line, such as producer.example/log+1a2b3c4d+AbCd…. A policy has lines that begin with “log”, “witness” and “quorum”.",
      ),
      this.#text,
      make(
        "p",
        { class: "buttons" },
        make("span", { class: "quiet" }, "or "),
        make("button", { type: "button", click: () => files.click() }, "Open policy files…"),
        make("button", { type: "button", click: () => folder.click() }, "Open a policy folder…"),
        files,
        folder,
      ),
    );
  }

  #clear() {
    this.#reading += 1;
    this.#candidate = null;
    put(this.#preview);
    showError(this.#keysError, this.#text, null);
  }

  /** @param {Promise<ProposedPolicy>} coming */
  async #read(coming) {
    const reading = ++this.#reading;
    try {
      const candidate = await coming;
      const described = await describePolicy(candidate);
      if (reading !== this.#reading) return;
      this.#candidate = candidate;
      showError(this.#keysError, this.#text, null);
      put(this.#preview, ...policyContents(described, candidate));
      if (candidate.source && this.#source.value === "") this.#source.value = candidate.source;
    } catch (error) {
      if (reading !== this.#reading) return;
      this.#clear();
      showError(this.#keysError, this.#text, capital(sentence(error)));
    }
  }

  /** @param {SubmitEvent} event */
  #submit(event) {
    event.preventDefault();
    const source = this.#source.value.trim();
    if (this.#candidate === null) {
      if (this.#keysError.hidden) {
        showError(this.#keysError, this.#text, "Paste a key or open a policy file first.");
      }
      this.#text.focus();
      return;
    }
    if (source === "") {
      showError(this.#sourceError, this.#source, "Say where these keys come from: the verdict rests on it.");
      this.#source.focus();
      return;
    }
    this.#onUse({ ...this.#candidate, source, chosen_on: today() });
    this.#text.value = "";
    this.#source.value = "";
    this.#clear();
  }
}

/**
 * What a policy says, read by the verifier itself, which refuses what it could not use.
 * @param {ProposedPolicy | Policy} policy
 * @returns {Promise<Described>}
 */
export async function describePolicy(policy) {
  return { keys: await describeKeys(policy.policy), publishing: await describePublishing(policy) };
}

/**
 * The keys of a policy, each with name, algorithm and fingerprint, and what else it asks for.
 * @param {Described} described
 * @param {ProposedPolicy | Policy} policy
 * @returns {HTMLElement[]}
 */
export function policyContents({ keys, publishing }, policy) {
  const requirements = requirementWords(policy.requirements);
  /** @type {HTMLElement[]} */
  const parts = [make("ul", { class: "keys" }, ...keys.map(describedKey), ...(publishing?.publishers ?? []).map(publishingKey))];
  if (requirements.length > 0) {
    parts.push(make("p", null, "It requires: ", fileText(requirements.join("; ")), "."));
  }
  if (publishing) {
    parts.push(
      make("p", null, "Its trusted root accepts these public logs: ", fileText(publishing.logs.join(", ") || "none"), "."),
      make("p", null, "It believes the clocks of these time-stamping authorities: ", fileText(publishing.authorities.join(", ") || "none"), "."),
    );
  }
  return parts;
}

/** @param {DescribedKey} key */
function describedKey(key) {
  const what = `${key.kind === "witness" ? "Key of a witness" : "Key of a log"}, ${key.algorithm}`;
  return keyItem(make("bdi", { class: "name" }, key.name), what, key.fingerprint);
}

/** @param {string} digest */
function publishingKey(digest) {
  return keyItem(make("span", { class: "name" }, "Publishing key"), "Signs what the producer enters in public logs; publisher.pub, ECDSA P-256", digest);
}

/**
 * @param {HTMLElement} name
 * @param {string} what
 * @param {string} digest
 */
function keyItem(name, what, digest) {
  return make("li", null, icon("key"), make("div", null, make("p", null, name), make("p", { class: "quiet" }, `${what}. Fingerprint:`), fingerprint(digest)));
}

/**
 * @param {HTMLElement} place
 * @param {HTMLElement} field
 * @param {string | null} text
 */
function showError(place, field, text) {
  place.hidden = text === null;
  put(place, text);
  if (text === null) field.removeAttribute("aria-invalid");
  else field.setAttribute("aria-invalid", "true");
}

/** The one sentence of an error, for people. @param {unknown} error */
export function sentence(error) {
  const text = error instanceof Error ? error.message : String(error);
  return text === "" ? "Something went wrong." : text;
}

/** The person's own date, YYYY-MM-DD. */
export function today() {
  const now = new Date();
  const two = (/** @type {number} */ n) => String(n).padStart(2, "0");
  return `${now.getFullYear()}-${two(now.getMonth() + 1)}-${two(now.getDate())}`;
}
