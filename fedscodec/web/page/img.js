// Pictures in pages: <img src="photo.feds"> shows, once this is loaded as <script type="module" src="feds/img.js"></script>.

import { Decoder, FormatError } from "./decoder.js";
import { pngOf } from "./png.js";

const SHOWN = new Map(); // addresses of pictures in this page, and of the PNG that each became
const MADE = new Set(); // addresses of blobs that were made here
let decoder = null;

function isFeds(image) {
  const source = image.getAttribute("src") ?? "";
  return /\.feds(?:[?#]|$)/i.test(source) && !source.startsWith("blob:");
}

async function show(image) {
  const address = new URL(image.getAttribute("src"), document.baseURI).href;
  image.dataset.feds = address;
  try {
    if (!SHOWN.has(address)) SHOWN.set(address, decoded(address, image));
    const url = await SHOWN.get(address);
    if (image.dataset.feds !== address) return; // the page shows something else there now
    image.src = url;
    image.dispatchEvent(new CustomEvent("feds-shown", { bubbles: true }));
  } catch (error) {
    SHOWN.delete(address);
    image.title = error instanceof FormatError ? error.message : String(error);
    image.dispatchEvent(new CustomEvent("feds-failed", { bubbles: true, detail: image.title }));
  }
}

async function decoded(address, image) {
  const answer = await fetch(address);
  if (!answer.ok) throw new FormatError(`${address}: could not be fetched (${answer.status})`);
  decoder ??= new Decoder();
  const found = await decoder.decode(new Uint8Array(await answer.arrayBuffer()), {
    shown(preview) {
      if (preview && image.dataset.feds === address) image.src = addressOf(new Blob([preview.webp], { type: "image/webp" }));
    },
  });
  return addressOf(await pngOf(found, found.file.boxes.get("ICCP")));
}

function addressOf(blob) {
  const url = URL.createObjectURL(blob);
  MADE.add(url);
  return url;
}

const NEAR = new IntersectionObserver((entries) => entries.forEach(({ isIntersecting, target }) => {
  if (!isIntersecting) return;
  NEAR.unobserve(target);
  if (isFeds(target)) show(target);
}), { rootMargin: "100%" }); // a screen above and below, before people scroll there

function see(image) {
  NEAR.unobserve(image);
  if (isFeds(image) && image.loading === "lazy") NEAR.observe(image);
  else if (isFeds(image)) show(image);
  else if (!MADE.has(image.getAttribute("src"))) delete image.dataset.feds;
}

const look = (node) => {
  if (node instanceof HTMLImageElement) see(node);
  else node.querySelectorAll?.("img").forEach(see);
};
new MutationObserver((changes) => changes.forEach(({ type, target, addedNodes }) =>
  type === "attributes" ? look(target) : addedNodes.forEach(look))).observe(document, {
  subtree: true, childList: true, attributes: true, attributeFilter: ["src"],
});
look(document);
