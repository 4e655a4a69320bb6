// The one door through which text reaches the page.
//
// Everything in an evidence file was written by somebody we do not know. So text
// becomes a text node here and nowhere is markup parsed from a string.

// Characters that draw nothing, or that reorder the text around them: a name holding
// one could make a sentence read as its opposite. Line feed and tab stay as they are,
// and so do the two joiners (U+200C, U+200D) that some scripts need to spell words.
const INVISIBLE =
  /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u00ad\u061c\u180e\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb\u{e0000}-\u{e007f}]/gu;

/**
 * The text with invisible and reordering characters spelled out, as `[U+202E]`.
 * @param {string} text
 */
export function visible(text) {
  return text.replace(INVISIBLE, (character) => {
    const code = /** @type {number} */ (character.codePointAt(0));
    return `[U+${code.toString(16).toUpperCase().padStart(4, "0")}]`;
  });
}

/**
 * @typedef {Node | string | number | null | undefined | false} Child
 * @typedef {Record<string, string | number | boolean | null | undefined | ((event: any) => void)>} Attributes
 */

/**
 * Makes an element: `make("p", { class: "reason" }, "text", childElement)`.
 * An attribute that is a function becomes the listener of the event of that name.
 * @template {keyof HTMLElementTagNameMap} Tag
 * @param {Tag} tag
 * @param {Attributes | null} attributes
 * @param {...Child} children
 * @returns {HTMLElementTagNameMap[Tag]}
 */
export function make(tag, attributes, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes ?? {})) {
    if (typeof value === "function") node.addEventListener(name, value);
    else if (value === true) node.setAttribute(name, "");
    else if (value !== false && value != null) node.setAttribute(name, String(value));
  }
  put(node, ...children);
  return node;
}

/**
 * Replaces what a node holds.
 * @param {Element} node
 * @param {...Child} children
 */
export function put(node, ...children) {
  node.replaceChildren();
  for (const child of children) {
    if (child === null || child === undefined || child === false) continue;
    node.append(child instanceof Node ? child : visible(String(child)));
  }
}

/**
 * A `<details>` element: one click away, never in the way.
 * @param {Child} summary
 * @param {...Child} children
 */
export function details(summary, ...children) {
  return make("details", null, make("summary", null, summary), ...children);
}

// Outlines on a 24 by 24 grid. They only repeat what the word beside them says.
const ICONS = {
  pass: "M5 12.5l4.5 4.5L19 7.5",
  fail: "M6 6l12 12M18 6L6 18",
  absent: "M6 12h12",
  question: "M8.5 9a3.5 3.5 0 1 1 5 3.2c-1 .5-1.5 1.2-1.5 2.3M12 18v.4",
  key: "M8 3a5 5 0 1 0 0 10a5 5 0 1 0 0-10M11.6 11.6L21 21M16 16l2.5-2.5M19 19l2-2",
  seal: "M12 3l2.3 1.8 2.9-.2.8 2.8 2.4 1.6-1 2.7 1 2.7-2.4 1.6-.8 2.8-2.9-.2L12 20.4l-2.3-1.8-2.9.2-.8-2.8-2.4-1.6 1-2.7-1-2.7L6 7.4l.8-2.8 2.9.2zM8.5 12l2.5 2.5 4.5-5",
};

/**
 * @param {keyof typeof ICONS} name
 * @returns {SVGSVGElement}
 */
export function icon(name) {
  const space = "http://www.w3.org/2000/svg";
  const picture = document.createElementNS(space, "svg");
  picture.setAttribute("viewBox", "0 0 24 24");
  picture.setAttribute("class", "icon");
  picture.setAttribute("aria-hidden", "true");
  const path = document.createElementNS(space, "path");
  path.setAttribute("d", ICONS[name]);
  picture.append(path);
  return picture;
}
