// The panel "Keys you trust": which keys count for the verdict, where the person
// got them, and the form to add more.

import { KeyForm, describePolicy, policyContents } from "./key-form.js";
import { details, make, put } from "./make.js";
import { policyFromAddress } from "./policy-files.js";
import { canKeep, loadPolicies, savePolicies } from "./policy-store.js";
import { fileText } from "./values.js";
import { ABOUT_KEYS, CANNOT_KNOW, KEPT, NOT_KEPT, NO_KEYS, PROPOSED } from "./words.js";

/** @import { Policy } from "../index.js" */
/** @import { ProposedPolicy } from "./policy-files.js" */

export class PolicyPanel {
  /** @type {HTMLElement} */ node;
  /** @type {(asked: boolean) => void} */ #onChange;
  #kept = loadPolicies();
  #list = make("div", null);
  #proposed = make("div", { class: "proposal", hidden: true });
  /** @type {KeyForm} */ #form;
  #adding = make("details", { class: "adding" });
  #proposing = 0;

  /**
   * @param {(asked: boolean) => void} onChange other keys count now; `asked`: the person pressed
   *   a button for it, and is not merely moving through the choices
   */
  constructor(onChange) {
    this.#onChange = onChange;
    this.#form = new KeyForm({ onUse: (policy) => this.#use(policy), use: "Use these keys" });
    this.#adding.append(make("summary", null, "Add keys"), this.#form.node);
    this.node = make(
      "section",
      { class: "panel keys-panel", "aria-labelledby": "keys-title" },
      make("h2", { id: "keys-title" }, "Keys you trust"),
      this.#proposed,
      this.#list,
      this.#adding,
      details("Why must I bring keys?", make("p", null, ABOUT_KEYS)),
    );
    this.#showList();
  }

  /** The policy that counts, or null. @returns {Policy | null} */
  get policy() {
    return this.#kept.inUse === null ? null : this.#kept.policies[this.#kept.inUse];
  }

  /** Opens the form and goes to it. */
  startAdding() {
    this.#adding.open = true;
    this.#adding.scrollIntoView({ block: "nearest" });
    this.#adding.querySelector("textarea")?.focus();
  }

  /** Puts policy files into the form, where the person still has to choose them. @param {File[]} files */
  async openFiles(files) {
    this.startAdding();
    await this.#form.openFiles(files);
  }

  /**
   * Shows keys that a page proposes. They do not count until the person chooses them.
   * @param {string | null} address
   */
  async propose(address) {
    const proposing = ++this.#proposing;
    this.#proposed.hidden = true;
    if (!address) return;
    /** @type {HTMLElement[]} */
    let contents;
    try {
      const proposal = await policyFromAddress(address);
      await describePolicy(proposal);
      if (this.#find(proposal) !== -1) return; // chosen already, on the person's own word
      const form = new KeyForm({
        proposal,
        use: "I know these keys: use them",
        onUse: (policy) => {
          this.#proposed.hidden = true;
          this.#use(policy);
        },
      });
      contents = [make("p", null, PROPOSED), form.node];
    } catch {
      contents = [make("p", null, "This page proposes keys, but they could not be read.")];
    }
    if (proposing !== this.#proposing) return;
    put(this.#proposed, make("h3", null, "Proposed, not chosen"), ...contents);
    this.#proposed.hidden = false;
  }

  /** @param {Policy} policy */
  #use(policy) {
    const known = this.#find(policy);
    const index = known === -1 ? this.#kept.policies.length : known;
    this.#kept.policies[index] = policy;
    this.#kept.inUse = index;
    this.#adding.open = false;
    this.#changed(true);
  }

  /** @param {number} index */
  #remove(index) {
    const { policies, inUse } = this.#kept;
    policies.splice(index, 1);
    const wasUsed = inUse === index;
    if (inUse !== null && inUse >= index) this.#kept.inUse = wasUsed ? null : inUse - 1;
    if (wasUsed) this.#changed(true);
    else this.#keep();
  }

  /** @param {boolean} asked */
  #changed(asked) {
    this.#keep();
    this.#onChange(asked);
  }

  /** Stores and shows the keys; the focus stays at the choice, whose list is made anew. */
  #keep() {
    savePolicies(this.#kept);
    this.#showList();
    const choice = this.#list.querySelector("input:checked") ?? this.#adding.querySelector("summary");
    if (choice instanceof HTMLElement) choice.focus();
  }

  /** @param {ProposedPolicy} policy */
  #find(policy) {
    const content = (/** @type {ProposedPolicy} */ p) =>
      JSON.stringify([p.policy, p.requirements, p.publisher, p.trusted_root]);
    return this.#kept.policies.findIndex((other) => content(other) === content(policy));
  }

  #showList() {
    const { policies, inUse } = this.#kept;
    if (policies.length === 0) {
      put(this.#list, make("p", null, NO_KEYS));
      return;
    }
    const choose = (/** @type {number | null} */ index) => () => {
      this.#kept.inUse = index;
      this.#changed(false);
    };
    put(
      this.#list,
      make(
        "fieldset",
        null,
        make("legend", null, "Check the file with"),
        ...policies.map((policy, index) => this.#choice(policy, index === inUse, choose(index), () => this.#remove(index))),
        make(
          "div",
          { class: "choice" },
          make(
            "label",
            null,
            make("input", { type: "radio", name: "policy", checked: inUse === null, change: choose(null) }),
            " No keys: against itself only",
          ),
        ),
      ),
      make("p", { class: "caution" }, CANNOT_KNOW),
      make("p", { class: "quiet kept" }, canKeep() ? KEPT : NOT_KEPT),
    );
  }

  /**
   * @param {Policy} policy
   * @param {boolean} checked
   * @param {() => void} choose
   * @param {() => void} remove
   */
  #choice(policy, checked, choose, remove) {
    const contents = make("div", { class: "contents" });
    describePolicy(policy).then(
      (described) => put(contents, ...policyContents(described, policy)),
      () => put(contents, make("p", { class: "error" }, "These keys can no longer be read. Remove them and add them again.")),
    );
    return make(
      "div",
      { class: "choice" },
      make(
        "label",
        null,
        make("input", { type: "radio", name: "policy", checked, change: choose }),
        " Keys from ",
        make("bdi", { class: "name" }, policy.label),
      ),
      make("p", null, `You chose them on ${policy.chosen_on} and said where they come from: “`, fileText(policy.source), "”"),
      contents,
      make("button", { type: "button", class: "small", click: remove }, `Remove the keys from ${policy.label}`),
    );
  }
}
