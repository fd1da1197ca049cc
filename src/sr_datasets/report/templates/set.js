"use strict";
// The page's program. What the set says is foreign text: it is only ever written as text, never as markup.
(() => {
  const $ = (id) => document.getElementById(id);
  const facts = JSON.parse($("data").textContent);
  const FIRST = window.innerWidth > 640 ? 60 : 24; // tiles at first, and with each press of "Show more"
  const KEPT = 240; // rows whose decoded pictures are kept
  const whole = new Intl.NumberFormat("en");
  const plural = (count, noun) => `${whole.format(count)} ${noun}${count === 1 ? "" : "s"}`;
  const pictured = facts.hr.length > 0;
  const keepsLr = facts.lr.some((text) => text !== "");

  for (const node of document.querySelectorAll(".needs-script")) node.hidden = false;

  function el(tag, attributes = {}, ...children) {
    const node = document.createElement(tag);
    for (const [name, value] of Object.entries(attributes)) {
      if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
      else if (value === true) node.setAttribute(name, "");
      else if (value !== false && value !== null && value !== undefined) node.setAttribute(name, value);
    }
    node.append(...children.filter((child) => child !== null));
    return node;
  }

  const rows = facts.id.map((id, place) => ({
    place, id, number: facts.numbers[place], source: facts.source[place], split: facts.split[place], frame: facts.frame[place],
    top: facts.top[place], left: facts.left[place], scale: facts.scale[place], drawn: facts.drawn[place],
    psnr: facts.psnr[place] === "equal" ? Infinity : facts.psnr[place], si: facts.si[place], ti: facts.ti[place],
    luma: facts.luma[place], contrast: facts.contrast[place], motion: facts.motion[place],
    concerns: [], text: id.toLowerCase(),
  }));
  facts.concerns.forEach((places, number) => { for (const place of places) rows[place].concerns.push(number); });
  const concernTexts = [...document.querySelectorAll(".concerns li")].map((item) => item.querySelector("p").textContent);

  // ---------------------------------------------------------------- pictures

  function picture(text) {
    return new Promise((resolve, reject) => {
      const image = new Image();
      image.onload = () => {
        const canvas = el("canvas", { width: image.naturalWidth, height: image.naturalHeight });
        canvas.getContext("2d", { willReadFrequently: true }).drawImage(image, 0, 0);
        resolve(canvas);
      };
      image.onerror = reject;
      image.src = `data:image/webp;base64,${text}`;
    });
  }

  /* Keys' cubic with a = -0.5, as MATLAB's imresize enlarges: borders mirrored, rounded once. */
  const cubic = (x) => {
    const d = Math.abs(x);
    if (d <= 1) return (1.5 * d - 2.5) * d * d + 1;
    return d < 2 ? ((-0.5 * d + 2.5) * d - 4) * d + 2 : 0;
  };

  function taps(size, out) {
    const step = size / out;
    return Array.from({ length: out }, (_, n) => {
      const centre = (n + 0.5) * step - 0.5;
      const first = Math.floor(centre) - 1;
      return [0, 1, 2, 3].map((k) => {
        let at = first + k;
        const period = 2 * size;
        at = ((at % period) + period) % period;
        return [at < size ? at : period - 1 - at, cubic(centre - first - k)];
      });
    });
  }

  function enlarged(lr, width, height) {
    const small = lr.getContext("2d").getImageData(0, 0, lr.width, lr.height).data;
    const across = taps(lr.width, width);
    const down = taps(lr.height, height);
    const middle = new Float64Array(height * lr.width * 3);
    for (let y = 0; y < height; y += 1) for (let x = 0; x < lr.width; x += 1) for (let c = 0; c < 3; c += 1) {
      let sum = 0;
      for (const [at, weight] of down[y]) sum += weight * small[(at * lr.width + x) * 4 + c];
      middle[(y * lr.width + x) * 3 + c] = sum;
    }
    const out = new ImageData(width, height);
    for (let y = 0; y < height; y += 1) for (let x = 0; x < width; x += 1) {
      for (let c = 0; c < 3; c += 1) {
        let sum = 0;
        for (const [at, weight] of across[x]) sum += weight * middle[(y * lr.width + at) * 3 + c];
        out.data[(y * width + x) * 4 + c] = Math.floor(Math.min(255, Math.max(0, sum)) + 0.5);
      }
      out.data[(y * width + x) * 4 + 3] = 255;
    }
    const canvas = el("canvas", { width, height });
    canvas.getContext("2d", { willReadFrequently: true }).putImageData(out, 0, 0);
    return canvas;
  }

  const kept = new Map();
  function pictures(row) {
    let found = kept.get(row.place);
    if (found === undefined) {
      found = Promise.all([facts.lr[row.place] ? picture(facts.lr[row.place]) : null, picture(facts.hr[row.place])])
        .then(([lr, hr]) => ({ lr, hr, made: null, get bicubic() {
          if (this.made === null && lr !== null) this.made = enlarged(lr, hr.width, hr.height);
          return this.made;
        } }));
      if (kept.size >= KEPT) kept.delete(kept.keys().next().value);
    } else {
      kept.delete(row.place); // to the end: it was used last
    }
    kept.set(row.place, found);
    return found;
  }

  /* Draws one kind of picture over the whole of a canvas, or the part of it right of a column. */
  function lay(canvas, of, kind, from = 0) {
    const image = of[kind] || of.hr;
    const context = canvas.getContext("2d");
    context.imageSmoothingEnabled = false;
    const start = Math.round(from * canvas.width);
    if (start >= canvas.width) return;
    context.save();
    context.beginPath();
    context.rect(start, 0, canvas.width - start, canvas.height);
    context.clip();
    context.drawImage(image, 0, 0, canvas.width, canvas.height);
    context.restore();
  }

  function line(canvas, from, thick) {
    const context = canvas.getContext("2d");
    context.fillStyle = "#ffffff";
    context.fillRect(from * canvas.width - thick / 2, 0, thick, canvas.height);
  }

  // ---------------------------------------------------------------- filter and sort

  const SORTS = [
    ["number", "order in the set"], ["psnr", "bicubic PSNR"], ["si", "SI"], ["ti", "TI"], ["luma", "luma"], ["contrast", "contrast"], ["motion", "motion"],
  ].filter(([key]) => rows.some((row) => row[key] !== null));
  const options = (select, list) => select.replaceChildren(...list.map(([value, text]) => el("option", { value }, text)));
  options($("source"), [["", "all"], ...facts.sources.map((name, n) => [n, name])]);
  options($("sort"), SORTS);
  const named = facts.concerns.map((places, n) => [n, places.length]).filter(([, count]) => count > 0);
  options($("concern"), [["", "any or none"], ["none", "none"], ...named.map(([n, count]) => [n, `${concernTexts[n].slice(0, 48)}… (${count})`])]);

  let shown = [];
  let drawn = 0;
  let descending = false;
  const mode = () => (document.querySelector("input[name=mode]:checked") || { value: "hr" }).value;

  function update() {
    const words = $("search").value.toLowerCase().split(/\s+/).filter(Boolean);
    const [split, source, concern, key] = ["split", "source", "concern", "sort"].map((id) => $(id).value);
    shown = rows.filter((row) => words.every((word) => row.text.includes(word))
      && (split === "" || row.split === Number(split)) && (source === "" || row.source === Number(source))
      && (concern === "" || (concern === "none" ? row.concerns.length === 0 : row.concerns.includes(Number(concern)))));
    // What is not known goes last, whichever way.
    const worth = (row) => (row[key] === null ? null : descending ? -row[key] : row[key]);
    shown.sort((a, b) => {
      const [one, two] = [worth(a), worth(b)];
      if (one === two) return a.place - b.place;
      if (one === null || two === null) return one === null ? 1 : -1;
      return one < two ? -1 : 1;
    });
    $("turn").textContent = descending ? "Descending" : "Ascending";
    $("turn").setAttribute("aria-pressed", String(descending));
    $("status").textContent = shown.length === rows.length ? `All ${plural(rows.length, "row")} of the gallery` : `${whole.format(shown.length)} of ${plural(rows.length, "row")}`;
    $("tiles").replaceChildren();
    drawn = 0;
    if (shown.length === 0) $("tiles").append(el("li", { class: "empty" }, "No row fits."));
    more();
  }

  const near = new IntersectionObserver((entries) => {
    for (const entry of entries) {
      if (!entry.isIntersecting) continue;
      near.unobserve(entry.target);
      paint(entry.target);
    }
  }, { rootMargin: "300px" });

  function paint(canvas, from = null) {
    const row = rows[canvas.dataset.place];
    return pictures(row).then((of) => {
      // The picture's own pixels; CSS enlarges them without smoothing.
      canvas.width = of.hr.width;
      canvas.height = of.hr.height;
      if (from === null) { lay(canvas, of, mode()); return; }
      lay(canvas, of, "bicubic");
      lay(canvas, of, "hr", from);
      line(canvas, from, Math.max(1, of.hr.width / 100));
    });
  }

  const tail = (id) => {
    const cut = id.lastIndexOf("/") + 1;
    return [id.slice(0, cut), el("i", { class: "sub" }, id.slice(cut))];
  };
  const decibel = (row) => (row.psnr === null ? null : row.psnr === Infinity ? "equal" : `${row.psnr.toFixed(1)} dB`);

  function tile(row) {
    let canvas = null;
    if (pictured) {
      canvas = el("canvas", { width: 1, height: 1, "data-place": row.place });
      near.observe(canvas);
    }
    const dot = el("i", { class: `dot s${row.split % 8}` });
    const value = decibel(row);
    const button = el("button", { type: "button", class: "tile", "aria-label": `${row.id}, ${facts.splits[row.split]}${value ? `, bicubic ${value}` : ""}`, onclick: () => open(row) },
      canvas, el("span", { class: "id" }, ...tail(row.id)), el("span", { class: "told" }, dot, facts.splits[row.split], value ? el("b", {}, value) : null));
    if (canvas && keepsLr) {
      const slide = (event) => {
        const box = canvas.getBoundingClientRect();
        paint(canvas, Math.min(1, Math.max(0, (event.clientX - box.left) / box.width)));
      };
      button.addEventListener("pointermove", slide);
      button.addEventListener("pointerleave", () => paint(canvas));
    }
    return el("li", {}, button);
  }

  function more() {
    const next = shown.slice(drawn, drawn + FIRST);
    $("tiles").append(...next.map(tile));
    drawn += next.length;
    const left = shown.length - drawn;
    $("more").hidden = left <= 0;
    $("more").textContent = `Show ${Math.min(FIRST, left)} more of ${whole.format(left)}`;
    return next;
  }

  $("more").addEventListener("click", () => {
    const first = drawn;
    more();
    const tiles = $("tiles").querySelectorAll(".tile");
    if (tiles[first]) tiles[first].focus({ preventScroll: true });
  });
  for (const id of ["split", "source", "concern", "sort"]) $(id).addEventListener("change", update);
  $("search").addEventListener("input", update);
  $("turn").addEventListener("click", () => { descending = !descending; update(); });
  for (const radio of document.querySelectorAll("input[name=mode]")) {
    radio.addEventListener("change", () => { for (const canvas of $("tiles").querySelectorAll("canvas")) if (canvas.width > 1) paint(canvas); });
  }
  for (const button of document.querySelectorAll("[data-concern]")) {
    const places = facts.concerns[Number(button.dataset.concern)];
    if (places.length === 0) { button.hidden = true; continue; }
    button.addEventListener("click", () => {
      for (const id of ["split", "source", "search"]) $(id).value = "";
      $("concern").value = button.dataset.concern;
      update();
      $("gallery").scrollIntoView();
      $("gallery").focus({ preventScroll: true });
    });
  }

  // ---------------------------------------------------------------- one row, closely

  const viewer = $("viewer");
  let at = null; // place in `shown`
  let now = null; // its pictures
  const NAMES = { lr: "LR", bicubic: "bicubic", hr: "HR" };
  const side = (id) => ($(id) ? $(id).value : "hr");

  function open(row) {
    at = shown.indexOf(row);
    if (!viewer.open) viewer.showModal();
    show();
  }

  function show() {
    const row = shown[at];
    $("viewer-title").textContent = row.id;
    const value = decibel(row);
    const told = [
      ["split", facts.splits[row.split]], ["number", whole.format(row.number)], ["frame", whole.format(row.frame)],
      ["LR position", `row ${row.top}, column ${row.left}`], ["scale", `×${row.scale}`], ["bicubic PSNR", value], ["SI", row.si], ["TI", row.ti],
      ["luma", row.luma], ["contrast", row.contrast], ["motion", row.motion],
    ].filter(([, said]) => said !== null);
    $("facts").replaceChildren(...told.flatMap(([name, said]) => [el("dt", {}, name), el("dd", {}, String(said))]),
      // What is said of every row says nothing of this one.
      ...row.concerns.filter((n) => facts.concerns[n].length < rows.length).flatMap((n) => [el("dt", {}, "see"), el("dd", {}, concernTexts[n])]),
      ...(row.drawn && row.drawn !== "{}" ? [el("dt", {}, "drawn"), el("dd", { class: "drawn", tabindex: "0" }, row.drawn)] : []));
    $("before").disabled = at === 0;
    $("after").disabled = at === shown.length - 1;
    $("lens").hidden = true;
    $("stage").hidden = !pictured;
    if (!pictured) return;
    pictures(row).then((of) => {
      if (row !== shown[at]) return;
      now = of;
      fit();
      draw();
    });
  }

  /* Makes the picture as large as the room allows; its pixels are drawn as squares. */
  function fit() {
    if (now === null) return;
    const { width, height } = now.hr;
    const narrow = window.innerWidth <= 860;
    const room = viewer.clientWidth - (narrow ? 28 : 340);
    const tall = window.innerHeight * (narrow ? 0.55 : 1) - (narrow ? 0 : 230);
    const scale = Math.max(0.1, Math.min(room / width, Math.max(160, tall) / height));
    const zoom = Math.max(1, Math.ceil(scale));
    $("canvas").width = width * zoom;
    $("canvas").height = height * zoom;
    $("stage").parentElement.style.width = `${Math.floor(width * scale)}px`;
  }
  window.addEventListener("resize", () => { if (viewer.open) { fit(); draw(); } });

  function draw() {
    if (now === null) return;
    const canvas = $("canvas");
    const from = keepsLr ? Number($("slider").value) / 1000 : 0;
    lay(canvas, now, side("left"));
    lay(canvas, now, side("right"), from);
    if (keepsLr && from > 0 && from < 1) line(canvas, from, 2);
    $("tag-left").textContent = keepsLr ? NAMES[side("left")] : "";
    $("tag-left").hidden = !keepsLr || from === 0;
    $("tag-right").textContent = NAMES[side("right")];
    $("tag-right").hidden = from === 1;
  }

  function step(by) {
    const next = at + by;
    if (next < 0 || next >= shown.length) return;
    at = next;
    show();
  }

  /* A round glass that shows 12 pixels of HR on each side of the pointer, of what lies under it. */
  function look(event) {
    if (now === null) return;
    const box = $("canvas").getBoundingClientRect();
    const stage = $("stage").getBoundingClientRect();
    const x = (event.clientX - box.left) / box.width;
    const y = (event.clientY - box.top) / box.height;
    const lens = $("lens");
    if (x < 0 || y < 0 || x > 1 || y > 1) { lens.hidden = true; return; }
    const size = Math.min(220, box.width * 0.45);
    lens.hidden = false;
    lens.width = lens.height = size;
    const context = lens.getContext("2d");
    context.imageSmoothingEnabled = false;
    const from = keepsLr ? Number($("slider").value) / 1000 : 0;
    const image = now[x < from ? side("left") : side("right")] || now.hr;
    const radius = 12 * image.width / now.hr.width;
    context.fillStyle = "#000000";
    context.fillRect(0, 0, size, size);
    context.drawImage(image, x * image.width - radius, y * image.height - radius, 2 * radius, 2 * radius, 0, 0, size, size);
    lens.style.left = `${event.clientX - stage.left - size / 2}px`;
    lens.style.top = `${event.clientY - stage.top - size / 2}px`;
  }

  if (keepsLr) {
    $("slider").addEventListener("input", draw);
    for (const id of ["left", "right"]) $(id).addEventListener("change", draw);
    $("flip").addEventListener("click", () => { $("slider").value = Number($("slider").value) > 500 ? 0 : 1000; draw(); });
  }
  let sliding = false;
  const slideTo = (event) => {
    const box = $("canvas").getBoundingClientRect();
    $("slider").value = Math.round(1000 * (event.clientX - box.left) / box.width);
    draw();
  };
  $("stage").addEventListener("pointerdown", (event) => {
    if (!keepsLr) return;
    sliding = true;
    $("lens").hidden = true;
    $("stage").setPointerCapture(event.pointerId);
    slideTo(event);
  });
  $("stage").addEventListener("pointermove", (event) => { if (sliding) slideTo(event); else look(event); });
  for (const kind of ["pointerup", "pointercancel"]) $("stage").addEventListener(kind, () => { sliding = false; });
  $("stage").addEventListener("pointerleave", () => { $("lens").hidden = true; });
  $("before").addEventListener("click", () => step(-1));
  $("after").addEventListener("click", () => step(1));
  $("close").addEventListener("click", () => viewer.close());
  viewer.addEventListener("click", (event) => { if (event.target === viewer) viewer.close(); });
  viewer.addEventListener("close", () => {
    now = null;
    const last = shown[at];
    const tiles = [...$("tiles").querySelectorAll(".tile")];
    if (last && tiles[at]) tiles[at].focus();
  });

  const whole_picture = { "1": "lr", "2": "bicubic", "3": "hr" };
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || /^(text|search)$/.test(event.target.type || "")) return;
    const kind = whole_picture[event.key];
    if (viewer.open) {
      if (kind && keepsLr) {
        // The whole picture of one kind: LR and bicubic stand left, HR right.
        if (kind === "hr") { $("right").value = "hr"; $("slider").value = 0; } else { $("left").value = kind; $("slider").value = 1000; }
        draw();
      } else if (!/^(SELECT|INPUT)$/.test(event.target.tagName)) {
        if (event.key === "ArrowRight") { event.preventDefault(); step(1); }
        if (event.key === "ArrowLeft") { event.preventDefault(); step(-1); }
      }
    } else if (kind && pictured && keepsLr && event.target.tagName !== "SELECT") {
      const radio = document.querySelector(`input[name=mode][value=${kind}]`);
      radio.checked = true;
      radio.dispatchEvent(new Event("change"));
    }
  });

  // ---------------------------------------------------------------- clips

  const thumbs = new IntersectionObserver((entries) => {
    for (const entry of entries) {
      if (!entry.isIntersecting) continue;
      thumbs.unobserve(entry.target);
      const canvas = entry.target;
      pictures(rows[Number(canvas.dataset.thumb)]).then((of) => {
        const side_ = Math.min(of.hr.width, of.hr.height);
        canvas.getContext("2d").drawImage(of.hr, (of.hr.width - side_) / 2, (of.hr.height - side_) / 2, side_, side_, 0, 0, canvas.width, canvas.height);
      });
    }
  }, { rootMargin: "200px" });
  for (const canvas of document.querySelectorAll("canvas[data-thumb]")) thumbs.observe(canvas);

  update();
})();
