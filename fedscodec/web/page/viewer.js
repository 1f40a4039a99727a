// The page: a file comes in by the button, by dropping it, by its address or by ?src=, and its picture goes up.

import { Decoder, FormatError } from "./decoder.js";
import { exifFields, profileName } from "./metadata.js";
import { pngOf } from "./png.js";

const $ = (id) => document.getElementById(id);
const numbers = new Intl.NumberFormat("en");
let decoder = new Decoder({ threads: Number(new URLSearchParams(location.search).get("threads")) || undefined });
let turn = 0; // of files: what is of an earlier one is not shown
let shown = []; // addresses of blobs on show
const title = document.title;

async function open(name, read) {
  const mine = ++turn;
  if (decoder.working) decoder.cancel();
  clear(name);
  const current = (work) => (...words) => mine === turn && work(...words);
  try {
    const data = await read();
    if (mine !== turn) return;
    const begin = performance.now();
    const found = await decoder.decode(data, { told: current(tell), shown: current((preview, file) => showPreview(name, preview, file, data)) });
    if (mine !== turn) return;
    await showPicture(name, found, data.length, (performance.now() - begin) / 1000);
  } catch (error) {
    if (mine !== turn) return;
    showFault(error instanceof FormatError ? `${name}: ${error.message}` : `${name}: ${error}`);
  } finally {
    if (mine === turn) document.documentElement.dataset.state = $("fault").hidden ? "done" : "failed";
  }
}

function clear(name) {
  document.documentElement.dataset.state = "working";
  shown.splice(0).forEach((url) => URL.revokeObjectURL(url));
  document.title = title;
  $("hint").hidden = true;
  for (const id of ["fault", "about", "xmp", "save", "picture"]) $(id).hidden = true;
  $("zoom").disabled = true;
  setActual(false);
  tell(`reading ${name}`, 0);
}

function tell(words, share) {
  $("progress").hidden = false;
  $("progress").value = share;
  $("words").textContent = `${words} …`;
}

function address(blob) {
  shown.push(URL.createObjectURL(blob));
  return shown.at(-1);
}

/** Resolves when the picture is there, so that nothing of the one before is ever under a new name. */
async function put(url, kind) {
  const picture = $("picture");
  picture.className = kind;
  picture.src = url;
  await picture.decode().catch(() => {});
  picture.hidden = false;
}

function showPreview(name, preview, file, data) {
  showFacts(name, file, data.length);
  if (preview) put(address(new Blob([preview.webp], { type: "image/webp" })), "preview");
}

async function showPicture(name, found, size, seconds) {
  const icc = found.file.boxes.get("ICCP");
  const url = address(await pngOf(found, icc));
  await put(url, "");
  $("picture").alt = name;
  document.title = `${name} · ${title}`;
  $("save").href = url;
  $("save").download = name.replace(/\.feds$/i, "") + ".png";
  $("save").hidden = false;
  $("zoom").disabled = false;
  $("progress").hidden = true;
  const steps = Object.entries(found.seconds).map(([what, taken]) => `${what} ${taken.toFixed(2)}`).join(", ");
  $("words").textContent = found.exact
    ? `${seconds.toFixed(2)} s; the pixels lie in the file without loss`
    : `${seconds.toFixed(2)} s (${steps}) in ${found.threads} thread${found.threads > 1 ? "s" : ""}; the checksum of all symbols is right`;
  showFacts(name, found.file, size, found.network);
  window.feds = { ...found, totalSeconds: seconds }; // for whoever looks behind the page
}

function showFacts(name, { header, boxes }, size, network) {
  const pixels = header.width * header.height;
  const rows = [
    ["Name", name],
    ["Size", `${numbers.format(header.width)} × ${numbers.format(header.height)} pixels${header.grey ? ", grey" : ""}`],
    ["File", `${numbers.format(size)} bytes, ${((8 * size) / pixels).toFixed(3)} bits a pixel`],
    ["Quality", `q${header.quality / 1000}`],
    ["Network", network ? `${network.name}, ${header.fingerprint}` : header.fingerprint],
    ["Checksum", header.checksum.toString(16).padStart(8, "0")],
  ];
  if (boxes.has("PIXL")) rows.push(["Pixels", `without loss, ${numbers.format(boxes.get("PIXL").length)} bytes`]);
  if (boxes.has("ALPH")) rows.push(["Alpha", `${numbers.format(boxes.get("ALPH").length)} bytes`]);
  if (boxes.has("prev")) rows.push(["Preview", `${numbers.format(boxes.get("prev").length)} bytes`]);
  if (boxes.has("ICCP")) rows.push(["Colours", profileName(boxes.get("ICCP"))]);
  else rows.push(["Colours", boxes.has("srgb") ? "sRGB, as the file says" : "sRGB"]);
  if (boxes.has("EXIF")) rows.push(...exifFields(boxes.get("EXIF")));
  $("facts").replaceChildren(...rows.map(([what, value]) => {
    const [row, head, cell] = ["tr", "th", "td"].map((kind) => document.createElement(kind));
    head.scope = "row";
    head.textContent = what;
    cell.textContent = value;
    row.append(head, cell);
    return row;
  }));
  $("xmp").hidden = !boxes.has("XMP ");
  $("xmp").querySelector("pre").textContent = boxes.has("XMP ") ? new TextDecoder().decode(boxes.get("XMP ")) : "";
  $("about").hidden = false;
}

function showFault(sentence) {
  $("progress").hidden = true;
  $("words").textContent = "";
  $("fault").textContent = sentence;
  $("fault").hidden = false;
  $("hint").hidden = false; // what to do next; the style leaves it out beside a picture
}

function setActual(actual) {
  $("zoom").setAttribute("aria-pressed", String(actual));
  $("picture").classList.toggle("actual", actual);
  $("stage").classList.toggle("actual", actual);
}

// ── How files come in ─────────────────────────────────────────────────────────────────────────────────────────

const openFile = (file) => open(file.name, async () => new Uint8Array(await file.arrayBuffer()));

function openAddress(text) {
  let url;
  try {
    url = new URL(text, location.href);
  } catch {
    return showFault(`${text}: is no address`);
  }
  let name = url.pathname.split("/").pop() || url.host;
  try {
    name = decodeURIComponent(name);
  } catch {} // a percent sign that stands for itself
  return open(name, async () => {
    const answer = await fetch(url, { referrerPolicy: "no-referrer" }).catch(() => null);
    if (!answer) throw new FormatError("could not be fetched (the other server must allow it, by Access-Control-Allow-Origin)");
    if (!answer.ok) throw new FormatError(`could not be fetched (${answer.status})`);
    return new Uint8Array(await answer.arrayBuffer());
  });
}

$("file").addEventListener("change", ({ target }) => target.files[0] && openFile(target.files[0]));
$("address").addEventListener("submit", (event) => {
  event.preventDefault();
  if ($("url").value.trim()) openAddress($("url").value.trim());
});
for (const kind of ["dragenter", "dragover", "dragleave", "drop"]) {
  document.addEventListener(kind, (event) => {
    event.preventDefault();
    $("stage").classList.toggle("over", kind === "dragenter" || kind === "dragover");
  });
}
document.addEventListener("drop", ({ dataTransfer }) => {
  const [file] = dataTransfer.files;
  const link = dataTransfer.getData("text/uri-list");
  if (file) openFile(file);
  else if (link) openAddress(link);
});
document.addEventListener("paste", ({ clipboardData }) => clipboardData.files[0] && openFile(clipboardData.files[0]));
$("zoom").addEventListener("click", () => setActual($("zoom").getAttribute("aria-pressed") !== "true"));
document.addEventListener("keydown", ({ key, target }) => {
  if (key === "z" && target.tagName !== "INPUT" && !$("zoom").disabled) $("zoom").click();
});

const asked = new URLSearchParams(location.search).get("src");
if (asked) openAddress(asked);
else document.documentElement.dataset.state = "waiting";
