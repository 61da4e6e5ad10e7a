"use strict";
/* All scores of a photo, by bit mask of the kept blocks (bit b = block b, row by row from the top left), and what can
   be read off them. */

const STEPS = 65535; // as in report/page/photos.py

/** Scores of all subsets of a photo's blocks: Float64Array of 2^B. */
function restoreScores(photo) {
  const bytes = Uint8Array.from(atob(photo.scores), (letter) => letter.charCodeAt(0));
  const steps = new DataView(bytes.buffer);
  const scores = new Float64Array(bytes.length / 2);
  for (let kept = 0; kept < scores.length; kept++) {
    scores[kept] = photo.low + (steps.getUint16(2 * kept, true) / STEPS) * (photo.high - photo.low);
  }
  return scores;
}

function countBits(mask) {
  let count = 0;
  for (let rest = mask; rest; rest &= rest - 1) count++;
  return count;
}

/** For each number of kept blocks the subset whose score is nearest to the whole photo's, and the farthest.
    Of equal ones the lowest bit mask. */
function extremes(scores, blocks) {
  const whole = scores[scores.length - 1];
  const found = Array.from({ length: blocks + 1 }, () => ({ best: -1, worst: -1 }));
  for (let kept = 0; kept < scores.length; kept++) {
    const size = found[countBits(kept)];
    const change = Math.abs(scores[kept] - whole);
    if (size.best < 0 || change < Math.abs(scores[size.best] - whole)) size.best = kept;
    if (size.worst < 0 || change > Math.abs(scores[size.worst] - whole)) size.worst = kept;
  }
  return found;
}

/** A number for people, with a real minus sign; "signed" puts a plus sign before numbers above 0. */
function say(value, digits, signed = false) {
  if (value === null || value === undefined) return "";
  const text = value.toFixed(digits);
  if (Number(text) === 0) return text.replace("-", "");
  return text.replace("-", "−").replace(/^(?=\d)/, signed ? "+" : "");
}

/** The same with two significant digits, for values that may be small. */
function sayBriefly(value, signed = false) {
  if (value === null || value === undefined) return "";
  const size = value === 0 ? 0 : Math.floor(Math.log10(Math.abs(value)));
  return size < -4 ? value.toExponential(1).replace("-", "−") : say(value, Math.max(0, 1 - size), signed);
}

/** An element with properties and children; texts become text, never markup. */
function make(tag, properties = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (name in element) element[name] = value;
    else element.setAttribute(name, value);
  }
  element.append(...children);
  return element;
}
