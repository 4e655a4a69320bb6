// The model card, as a table: each claim with its kind, its status and its evidence.

import { fillList } from "./long-list.js";
import { details, icon, make } from "./make.js";
import { table } from "./table.js";
import { capital, count, fileText, fileValue, hash } from "./values.js";
import { ABOUT_CARD, ABOUT_PROVISIONS, ESTABLISHED_WORD, KIND_MEANING, STATUS_WORD } from "./words.js";

/** @import { Claim, ClaimEvidence, Report } from "../index.js" */

const STATUS_ICON = /** @type {const} */ ({
  established: "pass",
  not_established: "absent",
  failed: "fail",
  stated: "absent",
});

/**
 * @param {Report["card"]} card
 * @param {(index: number) => void} showEntry
 */
export function cardView(card, showEntry) {
  const title = make("h2", { id: "card-title" }, "Model card");
  const section = make("section", { class: "panel", "aria-labelledby": "card-title" }, title);
  if (card === null) {
    section.append(make("p", null, "This file holds no model card."));
    return section;
  }
  const [claims, more] = table({
    label: "Model card",
    style: "card",
    columns: ["Claim", "Value", "Kind", "Status", "Evidence"],
    items: card.claims,
    cells: (claim) => claimCells(claim, showEntry),
    headed: true,
    named: "claims",
  });
  section.append(
    details("What is a model card, and what do the three kinds mean?", 
      make("p", null, ABOUT_CARD),
      make("ul", null, ...Object.values(KIND_MEANING).map((meaning) => make("li", null, meaning))),
    ),
    make(
      "p",
      { class: "quiet" },
      "As of the log ",
      make("bdi", null, card.as_of.origin),
      ` at size ${count(card.as_of.size)}, root `,
      hash(card.as_of.root),
      ". SHA-256 of the card: ",
      hash(card.sha256),
    ),
    make("p", { class: "quiet" }, ABOUT_PROVISIONS),
    claims,
  );
  if (more) section.append(more);
  return section;
}

/**
 * @param {Claim} claim
 * @param {(index: number) => void} showEntry
 */
function claimCells(claim, showEntry) {
  return [
    [fileText(claim.title), references("EU AI Act", claim.eu), references("NIST AI RMF", claim.nist)],
    fileValue(claim.value),
    make("span", { class: `kind ${claim.kind}` }, claim.kind),
    [
      make("p", { class: `status ${claim.status}` }, icon(STATUS_ICON[claim.status] ?? "absent"), statusWord(claim)),
      claim.reason ? make("p", { class: "reason" }, fileText(capital(claim.reason))) : null,
    ],
    evidenceList(claim.evidence, showEntry),
  ];
}

/** @param {Claim} claim */
function statusWord({ kind, status }) {
  return status === "established" ? ESTABLISHED_WORD[kind] : (STATUS_WORD[status] ?? status);
}

/**
 * @param {string} law
 * @param {string[]} places
 */
function references(law, places) {
  if (!places?.length) return null;
  return make("p", { class: "references" }, `${law}: ${places.join("; ")}`);
}

/**
 * @param {ClaimEvidence[]} evidence
 * @param {(index: number) => void} showEntry
 */
function evidenceList(evidence, showEntry) {
  if (!evidence?.length) return make("span", { class: "quiet" }, "none");
  const list = make("ul", { class: "evidence" });
  const more = fillList(list, evidence, (one) => make("li", null, ...evidenceWords(one, showEntry)));
  return more ? make("div", null, list, more) : list;
}

/**
 * @param {ClaimEvidence} one
 * @param {(index: number) => void} showEntry
 * @returns {(Node | string)[]}
 */
function evidenceWords(one, showEntry) {
  const button = (/** @type {number} */ index) =>
    make("button", { type: "button", class: "small", click: () => showEntry(index) }, `Entry ${count(index)}`);
  if ("entry" in one) return [button(one.entry)];
  if ("entries" in one) {
    // From the first up to the second, which is not among them any more.
    const [first, end] = one.entries;
    if (end <= first) return ["no entry"];
    return end - first === 1 ? [button(first)] : [button(first), " to ", button(end - 1)];
  }
  return ["SHA-256 ", hash(one.sha256)];
}
