for (const viewer of document.querySelectorAll(".viewer:not([data-mode])")) {
  const scenes = JSON.parse(viewer.querySelector("script").textContent);
  const find = (selector) => viewer.querySelector(selector);
  const stage = find(".stage"), sides = { left: find(".a"), right: find(".b") };
  const choices = { left: find(".left"), right: find(".right") };
  const look = { x: 0, y: 0, zoom: 1, cut: 0.5, fitted: true };  // of the picture in the stage, in CSS pixels
  let scene, shown = {};

  const element = (name, text) => Object.assign(document.createElement(name), { textContent: text ?? "" });
  const clamp = (value, low, high) => Math.min(Math.max(value, low), high);
  const pane = () => (viewer.dataset.mode === "beside" ? stage.clientWidth / 2 : stage.clientWidth);

  function draw() {
    if (look.fitted) fit();
    for (const side of Object.values(sides)) {
      const image = side.querySelector("img");
      image.style.width = `${scene.width}px`;
      image.style.height = `${scene.height}px`;
      image.style.transform = `translate(${look.x}px, ${look.y}px) scale(${look.zoom})`;
    }
    stage.classList.toggle("pixels", look.zoom * devicePixelRatio >= 2);
    find(".line").style.left = `${100 * look.cut}%`;
    viewer.style.setProperty("--cut", `${100 * look.cut}%`);
    find(".scale").value = `${Math.round(100 * look.zoom * devicePixelRatio)} %`;
  }

  function fit() {
    look.zoom = Math.min(pane() / scene.width, stage.clientHeight / scene.height, 8);
    look.x = (pane() - scene.width * look.zoom) / 2;
    look.y = (stage.clientHeight - scene.height * look.zoom) / 2;
  }

  function zoomTo(zoom, x = pane() / 2, y = stage.clientHeight / 2) {
    zoom = clamp(zoom, 0.02, 32);
    look.x = x - ((x - look.x) * zoom) / look.zoom;
    look.y = y - ((y - look.y) * zoom) / look.zoom;
    Object.assign(look, { zoom, fitted: false });
    draw();
  }

  function show(side, index) {
    const shot = scene.shots[index];
    shown[side] = index;
    choices[side].value = index;
    const image = sides[side].querySelector("img");
    Object.assign(image, { src: shot.source, alt: `${scene.name}, ${shot.label}` });
    const facts = Object.entries(shot.facts).slice(0, 3).map(([name, value]) => (/^[\d.,]+$/.test(value) ? `${value} ${name}` : value));
    sides[side].querySelector(".tag").textContent = [shot.label, ...facts].join(" · ");
    for (const row of find("tbody").rows) {
      const marks = Object.keys(shown).filter((one) => shown[one] === row.rowIndex - 1);
      row.classList.toggle("chosen", marks.length > 0);
      row.querySelector("small").textContent = marks.join(" and ");
    }
  }

  function open(index) {
    scene = scenes[index];
    shown = {};
    const names = [...new Set(scene.shots.flatMap((shot) => Object.keys(shot.facts)))];
    const head = element("tr");
    head.append(...["", ...names].map((name) => element("th", name)));
    find("thead").replaceChildren(head);
    find("tbody").replaceChildren(...scene.shots.map((shot, at) => {
      const row = element("tr"), label = element("td", shot.label);
      label.append(element("small"));
      row.append(label, ...names.map((name) => element("td", shot.facts[name])));
      row.title = "Show on the right; with Shift on the left";
      row.onclick = (event) => show(event.shiftKey ? "left" : "right", at);
      return row;
    }));
    for (const side of ["left", "right"]) {
      choices[side].replaceChildren(...scene.shots.map((shot, at) => Object.assign(element("option", shot.label), { value: at })));
      show(side, scene[side]);
    }
    look.fitted = true;
    draw();
  }

  function mode(name) {
    viewer.dataset.mode = name;
    for (const button of viewer.querySelectorAll("[data-mode]")) button.setAttribute("aria-pressed", button.dataset.mode === name);
    draw();
  }

  function hold(event) {
    const other = viewer.dataset.mode === "flip" && event.button === 0;
    const line = event.target.closest(".line"), box = stage.getBoundingClientRect();
    let { clientX: x, clientY: y } = event;
    stage.setPointerCapture(event.pointerId);
    stage.classList.add("held");
    stage.classList.toggle("other", other);
    stage.onpointermove = (move) => {
      if (line) look.cut = clamp((move.clientX - box.left) / box.width, 0, 1);
      else Object.assign(look, { x: look.x + move.clientX - x, y: look.y + move.clientY - y, fitted: false });
      [x, y] = [move.clientX, move.clientY];
      draw();
    };
    stage.onpointerup = stage.onpointercancel = () => {
      stage.onpointermove = null;
      stage.classList.remove("held", "other");
    };
  }

  function wheel(event) {
    event.preventDefault();
    const box = stage.getBoundingClientRect();
    zoomTo(look.zoom * Math.exp(-event.deltaY / (event.ctrlKey ? 100 : 400)), (event.clientX - box.left) % pane(), event.clientY - box.top);
  }

  const swap = () => { const { left, right } = shown; show("left", right); show("right", left); };
  const real = () => zoomTo(1 / devicePixelRatio);
  const whole = () => { look.fitted = true; draw(); };
  const slide = (step) => { look.cut = clamp(look.cut + step, 0, 1); draw(); };
  const keys = {
    s: () => mode("slide"), b: () => mode("beside"), f: () => mode("flip"), d: () => mode("difference"), x: swap,
    "+": () => zoomTo(look.zoom * 1.25), "=": () => zoomTo(look.zoom * 1.25), "-": () => zoomTo(look.zoom / 1.25), 0: whole, 1: real,
    ArrowLeft: () => slide(-0.02), ArrowRight: () => slide(0.02), " ": () => stage.classList.add("other"),
  };

  stage.addEventListener("pointerdown", hold);
  stage.addEventListener("wheel", wheel, { passive: false });
  stage.addEventListener("keydown", (event) => {
    if (!keys[event.key] || event.ctrlKey || event.metaKey || event.altKey) return;
    event.preventDefault();
    keys[event.key]();
  });
  stage.addEventListener("keyup", (event) => event.key === " " && stage.classList.remove("other"));
  for (const button of viewer.querySelectorAll("button[data-mode]")) {
    button.onclick = ({ detail }) => {
      mode(button.dataset.mode);
      if (detail) stage.focus({ preventScroll: true });  // for the keys; who pressed Enter (0 clicks) goes on by Tab
    };
  }
  for (const side of ["left", "right"]) choices[side].onchange = () => show(side, Number(choices[side].value));
  find(".swap").onclick = swap;
  find(".in").onclick = keys["+"];
  find(".out").onclick = keys["-"];
  find(".fit").onclick = whole;
  find(".whole").onclick = real;
  find(".gain input").oninput = ({ target }) => {
    find(".gain output").value = target.value;
    viewer.style.setProperty("--gain", target.value);
  };
  viewer.style.setProperty("--gain", 8);
  find(".scenes").append(...scenes.map((one, at) => Object.assign(element("option", one.name), { value: at })));
  find(".scenes").hidden = scenes.length < 2;
  find(".scenes").onchange = ({ target }) => open(Number(target.value));
  new ResizeObserver(draw).observe(stage);
  viewer.dataset.mode = "slide";
  open(0);
  const wish = new URLSearchParams(location.hash.slice(1));  // page.html#mode=difference&right=2&zoom=3, to send a link
  mode(wish.get("mode") ?? "slide");
  for (const side of ["left", "right"]) if (wish.has(side)) show(side, clamp(Number(wish.get(side)), 0, scene.shots.length - 1));
  if (wish.has("zoom")) zoomTo(Number(wish.get("zoom")) / devicePixelRatio);
}
