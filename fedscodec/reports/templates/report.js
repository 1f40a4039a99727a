// Curves: which measure, which codecs.
const of = one("#of");
function choose() {
  const measure = one("[data-show][aria-pressed=true]").dataset.show, picture = of ? of.value : "";
  for (const chart of all("[data-chart]")) chart.hidden = chart.dataset.chart !== measure || chart.dataset.picture !== picture;
}
for (const button of all("[data-show]")) {
  button.onclick = () => {
    for (const other of all("[data-show]")) other.setAttribute("aria-pressed", other === button);
    choose();
  };
}
if (of) of.onchange = choose;
const groups = (name) => all(`.curve[data-curve="${CSS.escape(name)}"]`);
function turn(chip, on) {
  chip.setAttribute("aria-pressed", on);
  for (const group of groups(chip.dataset.curve)) group.classList.toggle("hidden", !on);
}
function focus(name) {
  for (const svg of all(".chart svg")) svg.classList.toggle("focused", name !== null);
  for (const group of all(".curve")) group.classList.toggle("focus", group.dataset.curve === name);
}
for (const chip of all(".chip")) {
  chip.onclick = () => turn(chip, chip.getAttribute("aria-pressed") !== "true");
  chip.onmouseenter = chip.onfocus = () => chip.getAttribute("aria-pressed") === "true" && focus(chip.dataset.curve);
  chip.onmouseleave = chip.onblur = () => focus(null);
}
for (const button of all("[data-every]")) {
  button.onclick = () => all(".chip", button.parentElement).forEach((chip) => turn(chip, button.dataset.every === "on"));
}
for (const group of all(".curve")) {
  group.addEventListener("near", () => focus(group.dataset.curve));
  group.addEventListener("far", () => focus(null));
}

// Crops: the shots of the scene that the viewer shows, all at the same place.
const strip = one("#crops");
if (strip) {
  const scenes = JSON.parse(one(".viewer script[type='application/json']").textContent);
  const chosen = one(".viewer .scenes"), zoom = one("#crop-zoom");
  const starts = JSON.parse(strip.dataset.starts), side = Number(strip.dataset.side);
  let place, scene;

  function move(x, y) {
    const scale = Number(zoom.value) / devicePixelRatio, seen = side / Number(zoom.value);
    place = [Math.min(Math.max(x, 0), Math.max(scene.width - seen, 0)), Math.min(Math.max(y, 0), Math.max(scene.height - seen, 0))];
    for (const image of all("img", strip)) image.style.transform = `scale(${scale}) translate(${-Math.round(place[0])}px, ${-Math.round(place[1])}px)`;
  }
  function drag(event) {
    const box = event.currentTarget, from = [event.clientX, event.clientY], start = place, scale = Number(zoom.value) / devicePixelRatio;
    box.setPointerCapture(event.pointerId);
    box.onpointermove = (to) => move(start[0] - (to.clientX - from[0]) / scale, start[1] - (to.clientY - from[1]) / scale);
    box.onpointerup = box.onpointercancel = () => { box.onpointermove = null; };
  }
  function step(event) {
    const by = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[event.key];
    if (!by || event.ctrlKey || event.metaKey || event.altKey) return;
    event.preventDefault();
    move(place[0] + by[0] * (event.shiftKey ? 64 : 8), place[1] + by[1] * (event.shiftKey ? 64 : 8));
  }
  function crop(shot, index) {
    const figure = document.createElement("figure"), box = document.createElement("div"), image = document.createElement("img");
    const words = document.createElement("figcaption"), name = document.createElement("b"), facts = document.createElement("small");
    figure.className = index === 1 ? "own" : "";
    box.className = "crop";
    box.tabIndex = 0;
    box.setAttribute("aria-label", `Crop of ${shot.label}; arrow keys move all crops`);
    Object.assign(box.style, { width: `${side / devicePixelRatio}px`, height: `${side / devicePixelRatio}px` });
    Object.assign(image, { src: shot.source, alt: "", width: scene.width, height: scene.height });
    name.textContent = shot.label;
    facts.textContent = shot.facts.bytes ? `${shot.facts.bytes} bytes · ${shot.facts.PSNR}` : " ";
    box.append(image);
    words.append(name, facts);
    figure.append(box, words);
    box.onpointerdown = drag;
    box.onkeydown = step;
    return figure;
  }
  function fill() {
    const at = Number(chosen.value);
    scene = scenes[at];
    strip.replaceChildren(...scene.shots.map(crop));
    strip.classList.toggle("pixels", Number(zoom.value) > 1);
    move(...starts[at]);
  }
  chosen.addEventListener("change", fill);
  zoom.onchange = () => { strip.classList.toggle("pixels", Number(zoom.value) > 1); move(...place); };
  fill();
}
