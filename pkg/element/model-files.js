// Which files are a model, by their names; what is in them is judged when they are read.

import { UnreadableWeights } from "../index.js";

const WEIGHTS = /\.safetensors$/i;
// The forms in which other programs keep weights: not read here, but never taken for evidence.
const FOREIGN = /\.(bin|pt|pth|ckpt|pkl|gguf|onnx|h5)$/i;
// The list of parts that comes with a model in parts. The parts say all that is needed.
const INDEX = /\.safetensors\.index\.json$/i;
// A part, as model-00002-of-00005.safetensors.
const PART = /-(\d+)-of-(\d+)\.safetensors$/i;

/** @param {string} name */
export function looksLikeModel(name) {
  return WEIGHTS.test(name) || FOREIGN.test(name) || INDEX.test(name);
}

/**
 * The files to read. Throws when parts are missing: without them it is another model.
 * @param {File[]} files
 */
export function modelFiles(files) {
  const weights = files.filter((file) => !INDEX.test(file.name));
  if (weights.length === 0) {
    throw new UnreadableWeights("This is only the list of the model’s parts. Choose the .safetensors files that it names, all at once.");
  }
  const parts = weights.map((file) => PART.exec(file.name)).filter((part) => part !== null);
  const whole = Math.max(0, ...parts.map((part) => Number(part[2])));
  if (parts.length < whole) {
    throw new UnreadableWeights(`Here ${parts.length === 1 ? "is" : "are"} ${parts.length} of the ${whole} parts of a model. Choose all of them at once.`);
  }
  return weights;
}
