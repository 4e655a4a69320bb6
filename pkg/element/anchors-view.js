// The heads of the log that were published: where, since when and by whose clock.

import { details, icon, make } from "./make.js";
import { table } from "./table.js";
import { capital, count, fileText, fingerprint, hash, moment } from "./values.js";
import { ABOUT_ANCHORS, NOT_TO_RELY_ON, OTHER_PUBLICATIONS, RESULT_WORD } from "./words.js";

/** @import { PublishedHead, Report } from "../index.js" */

const CHECKS = ["anchors", "anchors.sequence", "anchors.time"];

/** @param {Report} report */
export function anchorsView(report) {
  const { anchors } = report;
  const checks = report.checks.filter(({ name }) => CHECKS.includes(name));
  return make(
    "section",
    { class: "panel", "aria-labelledby": "anchors-title" },
    make("h2", { id: "anchors-title" }, "Published heads"),
    details("What is a published head?", make("p", null, ABOUT_ANCHORS)),
    report.verdict === "failed" && anchors.length > 0 ? make("p", { class: "caution" }, NOT_TO_RELY_ON) : null,
    make(
      "ul",
      { class: "anchor-checks" },
      ...checks.map(({ result, reason }) =>
        make("li", null, make("span", { class: `result ${result}` }, icon(result), RESULT_WORD[result]), make("div", null, fileText(`${capital(reason)}.`))),
      ),
    ),
    report.publication === null ? null : make("p", { class: "caution" }, `${capital(report.publication)}.`),
    ...(anchors.length > 0 ? [make("div", null, ...anchorTable(anchors)), ...publishers(anchors), make("p", { class: "quiet" }, OTHER_PUBLICATIONS)] : []),
  );
}

/** @param {PublishedHead[]} anchors */
function anchorTable(anchors) {
  return table({
    label: "Published heads",
    style: "anchors",
    columns: ["Number", "Entries", "Public since", "By the clock of", "Public log", "Index", "Signed by", "Stands on"],
    items: anchors,
    cells: (anchor) => [
      count(anchor.sequence),
      count(anchor.size),
      anchor.public === null ? "not shown" : moment(anchor.public),
      anchor.public_by === null ? "" : fileText(anchor.public_by),
      fileText(anchor.log),
      count(anchor.index),
      anchor.signed === null ? "not shown" : [moment(anchor.signed), ", by the clock of ", fileText(anchor.signed_by ?? "")],
      bytes(anchor),
    ],
    named: "published heads",
  });
}

/** @param {PublishedHead} anchor */
function bytes(anchor) {
  const named = make("span", null, "Bytes", make("span", { class: "unseen" }, ` of published head ${count(anchor.sequence)} in ${anchor.log}`));
  const parts = [
    { what: "root of the head", bytes: anchor.root },
    { what: "id of the public log", bytes: anchor.log_id },
    { what: "fingerprint of the publishing key", bytes: anchor.publisher },
    ...anchor.stands_on,
  ];
  return details(
    named,
    make("dl", { class: "stands-on" }, ...parts.flatMap((one) => [make("dt", null, capital(one.what)), make("dd", null, /^[0-9a-f]{64}$/.test(one.bytes) ? hash(one.bytes) : fileText(one.bytes, "data code"))])),
  );
}

/** @param {PublishedHead[]} anchors */
function publishers(anchors) {
  const keys = [...new Set(anchors.map((anchor) => anchor.publisher))];
  return keys.map((key) => make("p", null, "Published with the key that you chose. Its fingerprint, to compare: ", fingerprint(key)));
}
