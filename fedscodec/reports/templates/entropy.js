// One explorer for each picture: a slider through the ranks, over the picture and alone.
const bytesOf = (text) => Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
for (const section of all(".entropy")) {
  const data = JSON.parse(section.querySelector("script").textContent);
  const maps = bytesOf(data.maps), colours = bytesOf(section.dataset.palette), size = data.rows * data.columns;
  const find = (selector) => section.querySelector(selector);
  const rank = find(".rank"), mix = find(".mix"), common = find(".common");
  const most = Math.max(...data.tops.slice(1));
  rank.max = data.words.length - 1;

  function paint(canvas, levels, colour) {
    Object.assign(canvas, { width: data.columns, height: data.rows });
    const image = new ImageData(data.columns, data.rows);
    levels.forEach((level, at) => image.data.set([...colour(level), 255], 4 * at));
    canvas.getContext("2d").putImageData(image, 0, 0);
  }
  function draw() {
    const at = Number(rank.value), top = common.checked && at > 0 ? most : data.tops[at];
    const factor = data.tops[at] / top, share = mix.value / 100;
    const levels = maps.subarray(at * size, (at + 1) * size).map((level) => Math.round(level * factor));
    paint(find(".map"), levels, (level) => colours.subarray(3 * level, 3 * level + 3));
    paint(find(".over"), levels, (level) => Array(3).fill(255 - share * (255 - level)));
    find(".which").value = `${at ? `rank ${at}, ` : ""}${data.words[at]}`;
    find(".top").textContent = top.toFixed(2);
    for (const button of all("[data-rank]", section)) button.setAttribute("aria-pressed", button.dataset.rank === rank.value);
  }
  function point(event) {
    const box = event.currentTarget.getBoundingClientRect();
    const column = Math.min(Math.floor(((event.clientX - box.left) / box.width) * data.columns), data.columns - 1);
    const row = Math.min(Math.floor(((event.clientY - box.top) / box.height) * data.rows), data.rows - 1);
    const at = Number(rank.value), bits = (maps[at * size + row * data.columns + column] / 255) * data.tops[at];
    tip.textContent = `row ${row}, column ${column}: ${bits.toFixed(2)} bits`;
    tip.hidden = false;
    tip.style.left = `${event.clientX + 14}px`;
    tip.style.top = `${event.clientY + 14}px`;
  }
  for (const layers of all(".layers", section)) {
    layers.onpointermove = point;
    layers.onpointerleave = () => { tip.hidden = true; };
  }
  rank.oninput = mix.oninput = common.onchange = draw;
  for (const button of all("[data-rank]", section)) {
    button.onclick = () => { rank.value = button.dataset.rank; draw(); };
  }
  const stops = Array.from({ length: 16 }, (_, i) => `rgb(${colours.subarray(51 * i, 51 * i + 3).join(" ")})`);
  find(".bar").style.background = `linear-gradient(to right, ${stops.join(", ")})`;
  draw();
}
