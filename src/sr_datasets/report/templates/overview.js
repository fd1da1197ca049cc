"use strict";
// The page's program. Manifests are foreign text: it is only ever written as text, never as markup.
(() => {
  const $ = (id) => document.getElementById(id);
  const facts = JSON.parse($("data").textContent);
  const UNKNOWN = "unknown";
  const ROWS = window.innerWidth > 640 ? 100 : 40; // of the table, at first and with each press of "Show more": thousands of clips keep the page light

  const PRINTED = 500; // rows that go to paper

  // ---------------------------------------------------------------- what the catalog says

  const column = (name) => {
    const stored = facts.clips[name] || [];
    if (Array.isArray(stored)) return stored;
    if (stored.at) return stored.at.map((place) => stored.of[place]);
    const values = [];
    for (let n = 0; n < stored.runs.length; n += 2) for (let left = stored.runs[n + 1]; left > 0; left -= 1) values.push(stored.of[stored.runs[n]]);
    return values;
  };
  const names = Object.keys(facts.clips);
  const columns = names.map(column);
  const duties = Object.entries(facts.obligations);
  const clips = columns.length === 0 ? [] : columns[0].map((_, row) => {
    const clip = Object.fromEntries(names.map((name, n) => [name, columns[n][row]]));
    clip.row = row;
    clip.src = facts.sources[clip.source];
    clip.lic = facts.licenses[clip.license];
    clip.fps = rateOf(clip.rate);
    clip.seconds = clip.frames && clip.fps && clip.media !== "image" ? clip.frames / clip.fps : null;
    clip.decoded = decodedBytes(clip);
    clip.text = [`${clip.src.id}/${clip.id}`, clip.src.title, clip.groups, clip.format, clip.lic.name, clip.notes,
      clip.width && clip.height ? `${clip.width}x${clip.height}` : ""].join(" ").toLowerCase();
    return clip;
  });

  function rateOf(text) {
    if (text === null || text === undefined) return null;
    const [over, under] = text.split("/").map(Number);
    return over / (under || 1);
  }

  function decodedBytes(clip) {
    const samples = { "4:2:0": 1.5, "4:2:2": 2, "4:4:0": 2, "4:4:4": 3, "RGB": 3, "grey": 1 }[clip.chroma];
    if (!samples || !clip.width || !clip.height || !clip.frames || !clip.bits) return null;
    return clip.width * clip.height * clip.frames * samples * (clip.bits > 8 ? 2 : 1);
  }

  // ---------------------------------------------------------------- words and elements

  const whole = new Intl.NumberFormat("en");
  const MEDIA = { video: "video file", raw: "raw planes", frames: "folder of frames", image: "single picture" };

  function human(bytes) {
    if (bytes < 1000) return `${bytes} bytes`;
    let value = bytes;
    for (const unit of ["kB", "MB", "GB"]) {
      value /= 1000;
      if (value < 999.95) return `${value.toFixed(1)} ${unit}`;
    }
    return `${(value / 1000).toFixed(1)} TB`;
  }

  const plural = (count, one, many = `${one}s`) => `${whole.format(count)} ${count === 1 ? one : many}`;
  const sizeText = (clip) => (clip.width && clip.height ? `${clip.width}×${clip.height}` : null);
  const rateText = (clip) => (clip.fps === null ? null : String(Math.round(clip.fps * 100) / 100));
  const secondsText = (seconds) => (seconds < 120 ? `${Math.round(seconds * 10) / 10} s` : `${Math.round(seconds / 6) / 10} min`);

  function el(tag, attributes = {}, ...children) {
    const node = document.createElement(tag);
    fill(node, attributes);
    node.append(...children.filter((child) => child !== null && child !== undefined));
    return node;
  }

  function svg(tag, attributes = {}, ...children) {
    const node = document.createElementNS("http://www.w3.org/2000/svg", tag);
    fill(node, attributes);
    node.append(...children);
    return node;
  }

  function fill(node, attributes) {
    for (const [name, value] of Object.entries(attributes)) {
      if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
      else if (value === true) node.setAttribute(name, "");
      else if (value !== false && value !== null && value !== undefined) node.setAttribute(name, value);
    }
  }

  const unknown = (words = UNKNOWN) => el("span", { class: "unknown" }, words);
  const known = (text) => (text === null || text === undefined || text === "" ? unknown() : String(text));
  const link = (url) => (/^https?:\/\//.test(url) ? el("a", { href: url, rel: "noreferrer" }, url) : String(url));

  // ---------------------------------------------------------------- filters

  const bucket = (value, steps) => (value === null ? UNKNOWN : steps.find(([most]) => value < most)[1]);
  const FRAMES = [[2, "1"], [100, "2 to 99"], [300, "100 to 299"], [600, "300 to 599"], [Infinity, "600 and more"]];
  const BYTES = [[1e7, "under 10 MB"], [1e8, "10 to 100 MB"], [1e9, "100 MB to 1 GB"], [1e10, "1 to 10 GB"], [Infinity, "10 GB and more"]];
  const ANSWERS = ["yes", "no", "unstated"];

  const FACETS = [
    { key: "source", label: "Source", value: (c) => c.src.id, order: facts.sources.map((s) => s.id), ofSource: true, open: true },
    { key: "size", label: "Resolution", value: (c) => c.class, order: facts.resolutions, open: true },
    ...duties.map(([key, label], place) => ({ key, label, value: (c) => c.lic.answers[place], order: ANSWERS, ofSource: true, grid: true })),
    { key: "licence", label: "Licence", value: (c) => c.lic.name, ofSource: true },
    { key: "frames", label: "Frames", value: (c) => bucket(c.frames, FRAMES), order: FRAMES.map((step) => step[1]) },
    { key: "bits", label: "Bit depth", value: (c) => (c.bits === null ? UNKNOWN : `${c.bits} bit`), numeric: true },
    { key: "chroma", label: "Chroma", value: (c) => c.chroma || UNKNOWN },
    { key: "bytes", label: "File size", value: (c) => bucket(c.bytes, BYTES), order: BYTES.map((step) => step[1]) },
    { key: "kind", label: "Kind", value: (c) => MEDIA[c.media], order: Object.values(MEDIA) },
    { key: "access", label: "Access", value: (c) => c.access || c.src.access, ofSource: true },
    { key: "lossless", label: "Free of lossy coding", value: (c) => c.pristine, order: ANSWERS },
    { key: "checksum", label: "Published checksum", value: (c) => c.checksum || UNKNOWN },
    { key: "year", label: "Year of publication", value: (c) => String(c.src.year || UNKNOWN), numeric: true, ofSource: true },
  ];
  for (const facet of FACETS) {
    facet.chosen = new Set();
    facet.counts = new Map();
    const found = new Set(clips.map(facet.value));
    // Sources that list no clips of their own can be chosen too.
    if (facet.ofSource) for (const source of facts.sources) found.add(facet.value(ofSource(source)));
    const place = (value) => {
      if (value === UNKNOWN) return Infinity;
      if (facet.order) return facet.order.indexOf(value);
      return facet.numeric ? parseFloat(value) : 0;
    };
    facet.values = [...found].sort((a, b) => place(a) - place(b) || (a < b ? -1 : a > b ? 1 : 0));
  }
  const facetOf = (key) => FACETS.find((facet) => facet.key === key);

  function ofSource(source) {
    return { src: source, lic: facts.licenses[source.license] };
  }

  let words = [];
  let shown = [];
  let shownSources = [];

  const found = (text) => words.every((word) => text.includes(word));

  function filterClips() {
    words = $("search").value.toLowerCase().split(/\s+/).filter(Boolean);
    for (const facet of FACETS) facet.counts.clear();
    const active = FACETS.filter((facet) => facet.chosen.size > 0);
    shown = [];
    for (const clip of clips) {
      clip.shown = false;
      if (!found(clip.text)) continue;
      // A value's count is what would be shown if it alone were chosen in its own facet.
      const against = active.filter((facet) => !facet.chosen.has(facet.value(clip)));
      if (against.length > 1) continue;
      for (const facet of against.length === 1 ? against : FACETS) {
        const value = facet.value(clip);
        facet.counts.set(value, (facet.counts.get(value) || 0) + 1);
      }
      if (against.length === 0) {
        clip.shown = true;
        shown.push(clip);
      }
    }
    const sourcesWithClips = new Set(clips.map((clip) => clip.src));
    const sourcesShown = new Set(shown.map((clip) => clip.src));
    shownSources = facts.sources.filter((source) => sourcesShown.has(source) || (!sourcesWithClips.has(source)
      && active.every((facet) => facet.ofSource && facet.chosen.has(facet.value(ofSource(source))))
      && found(`${source.id}/ ${source.title}`.toLowerCase())));
  }

  function drawFacets() {
    const home = $("facets");
    let grid = null;
    for (const facet of FACETS) {
      facet.inputs = new Map();
      facet.countNodes = new Map();
      if (facet.grid) {
        if (grid === null) {
          grid = el("table", { class: "grid" }, el("thead", {}, el("tr", {}, el("td"), ...ANSWERS.map((answer) =>
            el("th", { scope: "col" }, answer === "unstated" ? el("abbr", { title: "unstated" }, "n/s") : answer)))), el("tbody"));
          home.append(el("details", { class: "facet", open: window.innerWidth > 900 }, el("summary", {}, "What the licence says"), grid, el("p", { class: "sub" }, "n/s: not stated")));
        }
        grid.tBodies[0].append(el("tr", {}, el("th", { scope: "row" }, facet.label), ...ANSWERS.map((answer) => el("td", {}, checkbox(facet, answer)))));
        continue;
      }
      if (facet.values.length < 2) continue;
      facet.picked = el("span", { class: "picked" });
      const list = el("ul", {}, ...facet.values.map((value) => {
        const count = el("span", { class: "count" });
        facet.countNodes.set(value, count);
        return el("li", {}, el("label", {}, checkbox(facet, value), el("span", {}, value), count));
      }));
      home.append(el("details", { class: "facet", "data-facet": facet.key, open: facet.open && window.innerWidth > 900 }, el("summary", {}, `${facet.label} `, facet.picked), list));
    }
  }

  function checkbox(facet, value) {
    const input = el("input", { type: "checkbox", "data-facet": facet.key, value,
      "aria-label": facet.grid ? `${facet.label}: ${value}` : null, title: facet.grid ? `${facet.label}: ${value}` : null,
      onchange: () => { choose(facet, value, input.checked); } });
    facet.inputs.set(value, input);
    return input;
  }

  function choose(facet, value, on) {
    if (on) facet.chosen.add(value); else facet.chosen.delete(value);
    update();
  }

  function updateFacets() {
    let chosen = 0;
    for (const facet of FACETS) {
      chosen += facet.chosen.size;
      for (const [value, input] of facet.inputs) {
        input.checked = facet.chosen.has(value);
        const count = facet.counts.get(value) || 0;
        const node = facet.countNodes.get(value);
        if (node) {
          node.textContent = whole.format(count);
          node.parentNode.classList.toggle("empty", count === 0);
        }
      }
      if (facet.picked) facet.picked.textContent = facet.chosen.size ? `(${facet.chosen.size})` : "";
    }
    $("filter-count").textContent = chosen ? `(${chosen})` : "";
    const all = shown.length === clips.length;
    $("status").textContent = all
      ? `All ${plural(clips.length, "clip")} of ${plural(facts.sources.length, "source")}`
      : `${whole.format(shown.length)} of ${plural(clips.length, "clip")}, ${plural(shownSources.length, "source")}`;
    const chips = FACETS.flatMap((facet) => [...facet.chosen].map((value) => el("button", {
      type: "button", "aria-label": `Remove the filter ${facet.label}: ${value}`, onclick: () => { choose(facet, value, false); $("search").focus({ preventScroll: true }); },
    }, `${facet.label}: ${value}`)));
    if (chips.length || words.length) {
      chips.push(el("button", { type: "button", class: "clear", onclick: clearAll }, "Clear all"));
    }
    $("chips").replaceChildren(...chips);
  }

  function clearAll() {
    for (const facet of FACETS) facet.chosen.clear();
    $("search").value = "";
    update();
    $("search").focus({ preventScroll: true });
  }

  // ---------------------------------------------------------------- sources by resolution

  function updateMatrix() {
    const counts = new Map();
    const most = new Map();
    for (const clip of clips) {
      const key = `${clip.source} ${clip.class}`;
      most.set(key, (most.get(key) || 0) + 1);
      if (clip.shown) counts.set(key, (counts.get(key) || 0) + 1);
    }
    const top = Math.max(1, ...most.values());
    for (const row of $("matrix").tBodies[0].rows) {
      const source = facts.sources[Number(row.dataset.source)];
      row.classList.toggle("out", !shownSources.includes(source));
      for (const cell of row.querySelectorAll("td.cell")) {
        const name = cell.dataset.class;
        const count = counts.get(`${row.dataset.source} ${name}`) || 0;
        if (!most.has(`${row.dataset.source} ${name}`)) { cell.replaceChildren(el("span", { class: "zero" }, "·")); continue; }
        const radius = count ? 2 + 10 * Math.log(count) / Math.log(Math.max(2, top)) : 0;
        cell.replaceChildren(el("button", { type: "button", "aria-label": `${source.id}, ${name}: ${plural(count, "clip")}; show only these`,
          onclick: () => showOnly(source.id, name) },
          svg("svg", { width: 25, height: 25, viewBox: "-12.5 -12.5 25 25", "aria-hidden": "true" }, svg("circle", { r: radius.toFixed(2) })),
          whole.format(count)));
      }
    }
  }

  function showOnly(sourceId, name) {
    const wanted = { source: sourceId, size: name };
    const already = Object.entries(wanted).every(([key, value]) => facetOf(key).chosen.size === 1 && facetOf(key).chosen.has(value));
    for (const [key, value] of Object.entries(wanted)) {
      facetOf(key).chosen.clear();
      if (!already) facetOf(key).chosen.add(value);
    }
    const cell = document.activeElement.closest("td");
    update();
    if (cell) cell.querySelector("button").focus({ preventScroll: true });
  }

  // ---------------------------------------------------------------- the chart of clips

  const MEASURES = [
    { key: "frames", label: "frames", value: (c) => c.frames, format: whole.format },
    { key: "seconds", label: "duration (frames / rate)", value: (c) => c.seconds, format: secondsText, ticks: [0.5, 1, 2, 5, 10, 20, 60, 300, 600, 1200, 3600] },
    { key: "bytes", label: "file size, published", value: (c) => c.bytes, format: human },
    { key: "decoded", label: "decoded size, computed", value: (c) => c.decoded, format: human },
    { key: "rate", label: "frames per second", value: (c) => c.fps, format: (rate) => String(Math.round(rate * 100) / 100), ticks: [5, 10, 15, 24, 30, 50, 60, 120, 240] },
    { key: "year", label: "year of publication", value: (c) => c.src.year, format: String, linear: true },
  ];

  const answered = (place) => ({ value: (c) => c.lic.answers[place], order: ["yes", "no"] });
  const bigSources = () => {
    const counts = new Map();
    for (const clip of clips) counts.set(clip.src.id, (counts.get(clip.src.id) || 0) + 1);
    const ids = [...counts.keys()].sort((a, b) => counts.get(b) - counts.get(a));
    return ids.length > 8 ? ids.slice(0, 7) : ids;
  };
  const big = bigSources();
  const COLOURS = [
    ...[1, 2, 0].map((place) => ({ key: duties[place][0], label: `${duties[place][1]}?`, ...answered(place) })),
    { key: "source", label: "source", value: (c) => (big.includes(c.src.id) ? c.src.id : "other sources"), order: [...big, "other sources"] },
    { key: "bits", label: "bit depth", value: facetOf("bits").value, order: facetOf("bits").values.filter((v) => v !== UNKNOWN) },
    { key: "chroma", label: "chroma", value: facetOf("chroma").value, order: facetOf("chroma").values.filter((v) => v !== UNKNOWN) },
    { key: "kind", label: "kind", value: (c) => MEDIA[c.media], order: Object.values(MEDIA) },
  ];

  const measure = () => MEASURES.find((m) => m.key === $("measure").value) || MEASURES[0];
  const colour = () => COLOURS.find((c) => c.key === $("colour").value) || COLOURS[0];
  // What is not known has no place in the order: -1, drawn hollow.
  const shadeOf = (clip, by) => { const place = by.order.indexOf(by.value(clip)); return place < 0 ? -1 : Math.min(place, 7); };
  const shadeClass = (shade) => (shade < 0 ? "hollow" : `m${shade}`);

  function shape(shade, x, y, r) {
    const at = (dx, dy) => `${(x + dx).toFixed(1)} ${(y + dy).toFixed(1)}`;
    switch (shade < 0 ? 0 : shade % 4) {
      case 1: return `M${at(-r * 0.9, -r * 0.9)}h${(r * 1.8).toFixed(1)}v${(r * 1.8).toFixed(1)}h${(-r * 1.8).toFixed(1)}z`;
      case 2: return `M${at(0, -r * 1.15)}L${at(r * 1.1, r * 0.85)}L${at(-r * 1.1, r * 0.85)}z`;
      case 3: return `M${at(0, -r * 1.25)}L${at(r * 1.25, 0)}L${at(0, r * 1.25)}L${at(-r * 1.25, 0)}z`;
      default: {
        const round = shade < 0 ? r * 0.85 : r;
        return `M${at(-round, 0)}a${round} ${round} 0 1 0 ${2 * round} 0a${round} ${round} 0 1 0 ${-2 * round} 0z`;
      }
    }
  }

  let drawnWidth = 0;
  let chart = null; // what the last drawing holds: points to find under the pointer, and the ring around one

  function laneOf(clip, by) {
    if (clip.media === "image" && ["frames", "seconds", "rate"].includes(by.key)) return "pictures";
    return by.value(clip) ? null : UNKNOWN;
  }

  function scaleOf(by) {
    const values = clips.filter((clip) => laneOf(clip, by) === null).map(by.value);
    if (values.length === 0) return null;
    let low = values.reduce((a, b) => Math.min(a, b));
    let high = values.reduce((a, b) => Math.max(a, b));
    const bend = by.linear ? (v) => v : Math.log10;
    if (low === high) { low = by.linear ? low - 1 : low / 2; high = by.linear ? high + 1 : high * 2; }
    const [a, b] = [bend(low), bend(high)];
    let ticks = by.ticks || [];
    if (by.linear) {
      const step = Math.max(1, Math.ceil((high - low) / 7));
      for (let t = Math.ceil(low); t <= high; t += step) ticks = [...ticks, t];
    } else if (!by.ticks) {
      for (let power = Math.floor(a); power <= Math.ceil(b); power += 1) {
        for (const lead of b - a > 3.2 ? [1] : b - a > 1.6 ? [1, 3] : [1, 2, 3, 5]) ticks.push(lead * 10 ** power);
      }
    }
    return { at: (value) => (bend(value) - a) / (b - a), ticks: ticks.filter((tick) => tick >= low * 0.999 && tick <= high * 1.001) };
  }

  function drawChart() {
    const by = measure();
    const tint = colour();
    const width = Math.max(280, Math.floor($("plot").clientWidth));
    const narrow = width < 560;
    const left = narrow ? 50 : 66;
    const r = narrow ? 2.5 : 3.5;
    const pitch = 2 * r + (narrow ? 1.4 : 2);
    const head = 40;
    const tall = narrow ? 250 : 300;
    const classes = facts.resolutions.filter((name) => clips.some((clip) => clip.class === name));
    const perClass = classes.map((name) => clips.filter((clip) => clip.class === name).length);
    // Wider for more clips, by the logarithm, so that neither a crowd nor a single clip sets the picture.
    const least = (width - left) / classes.length * (narrow ? 0.8 : 0.6);
    const weights = perClass.map((count) => Math.log2(1 + count));
    const sum = weights.reduce((a, b) => a + b, 0) || 1;
    const spare = width - left - least * classes.length;
    const spans = [];
    let x = left;
    for (const weight of weights) { const span = least + spare * weight / sum; spans.push({ x, width: span, middle: x + span / 2 }); x += span; }
    const capacity = spans.map((span) => Math.max(1, Math.floor((span.width - 6) / pitch)));

    const scale = scaleOf(by);
    const bottom = head + (scale ? tall : 0);
    const yOf = (value) => bottom - 10 - scale.at(value) * (tall - 24);
    const lanes = ["pictures", UNKNOWN].map((name) => ({ name, cells: classes.map(() => []) }));
    const points = [];
    classes.forEach((name, place) => {
      const inside = clips.filter((clip) => clip.class === name);
      const measured = [];
      for (const clip of inside) {
        const lane = laneOf(clip, by);
        if (lane === null) measured.push(clip); else lanes.find((l) => l.name === lane).cells[place].push(clip);
      }
      points.push(...crowd(measured, (clip) => yOf(by.value(clip)), spans[place], capacity[place], pitch, tint));
    });
    let y = bottom + 6;
    for (const lane of lanes) {
      const rows = lane.cells.map((cell, place) => Math.ceil(cell.length / capacity[place]));
      const most = narrow ? 12 : 9;
      lane.height = Math.max(0, ...rows.map((n) => (n === 0 ? 0 : n > most ? 20 : n * pitch + 8)));
      lane.y = y;
      if (lane.height === 0) continue;
      lane.height = Math.max(20, lane.height);
      lane.cells.forEach((cell, place) => {
        if (cell.length === 0) return;
        const middle = y + lane.height / 2;
        if (rows[place] > most) { points.push(bar(cell, spans[place], middle)); return; }
        const sorted = byShade(cell, tint);
        sorted.forEach((clip, n) => {
          const line = Math.floor(n / capacity[place]);
          const inLine = Math.min(capacity[place], sorted.length - line * capacity[place]);
          points.push({ clip, x: spans[place].middle + (n % capacity[place] - (inLine - 1) / 2) * pitch,
            y: middle + (line - (rows[place] - 1) / 2) * pitch });
        });
      });
      y += lane.height + 4;
    }
    const height = y + 4;

    const picture = svg("svg", { width, height, viewBox: `0 0 ${width} ${height}`, tabindex: "0", role: "application",
      "aria-label": `Chart: ${plural(shown.length, "clip")} by resolution and ${by.label}. Arrow keys move between marks, Enter opens one.` });
    for (const lane of lanes.filter((l) => l.height > 0)) {
      picture.append(svg("rect", { class: "lane", x: left - 4, y: lane.y, width: width - left + 4, height: lane.height, rx: 4 }));
      picture.append(svg("text", { class: "tick", x: left - 10, y: lane.y + lane.height / 2 + 4 }, lane.name));
    }
    if (scale) {
      for (const tick of scale.ticks) {
        picture.append(svg("line", { class: "rule", x1: left - 4, x2: width, y1: yOf(tick), y2: yOf(tick) }));
        picture.append(svg("text", { class: "tick", x: left - 10, y: yOf(tick) + 4 }, by.format(tick).replace(/\.0 /, " ")));
      }
    }
    classes.forEach((name, place) => {
      const count = shown.filter((clip) => clip.class === name).length;
      picture.append(svg("text", { class: "column", x: spans[place].middle, y: 13 }, narrow && name === UNKNOWN ? "?" : name));
      picture.append(svg("text", { class: "counted", x: spans[place].middle, y: 28 }, whole.format(count)));
      if (place > 0) picture.append(svg("line", { class: "rule", x1: spans[place].x, x2: spans[place].x, y1: head - 6, y2: height - 8, "stroke-dasharray": "2 4" }));
    });
    // One path for each colour, not one element for each clip.
    const paths = new Map();
    const draw = (name, d) => paths.set(name, (paths.get(name) || "") + d);
    for (const point of points) {
      if (point.clip === undefined) continue;
      const shade = shadeOf(point.clip, tint);
      draw(point.clip.shown ? `mark ${shadeClass(shade)}` : "ghost", shape(shade, point.x, point.y, r));
    }
    for (const name of ["ghost", ...[...paths.keys()].filter((key) => key !== "ghost").sort()]) {
      if (paths.has(name)) picture.append(svg("path", { class: name, d: paths.get(name) }));
    }
    for (const point of points.filter((p) => p.clip === undefined)) drawBar(picture, point, tint);
    const ring = svg("circle", { class: "here", r: r + 3, visibility: "hidden" });
    picture.append(ring);
    chart = { points: points.filter((p) => p.clip === undefined ? p.clips.some((clip) => clip.shown) : p.clip.shown), ring, picture, at: null };
    picture.addEventListener("pointermove", (event) => { pointAt(under(event), event); });
    picture.addEventListener("pointerleave", () => { pointAt(null); });
    picture.addEventListener("click", (event) => { const point = under(event); if (point) openPoint(point); });
    picture.addEventListener("keydown", keyOnChart);
    picture.addEventListener("blur", () => { pointAt(null); });
    const focused = $("plot").contains(document.activeElement);
    $("plot").replaceChildren(picture);
    if (focused) picture.focus({ preventScroll: true });
    drawnWidth = $("plot").clientWidth;
    drawLegend(tint);
  }

  const byShade = (list, tint) => [...list].sort((a, b) => shadeRank(a, tint) - shadeRank(b, tint) || a.row - b.row);
  const shadeRank = (clip, tint) => { const shade = shadeOf(clip, tint); return shade < 0 ? 99 : shade; };

  /* Places marks near their height, aside from each other; a height that is too crowded becomes a bar. */
  function crowd(list, height, span, capacity, pitch, tint) {
    const lines = new Map();
    for (const clip of byShade(list, tint)) {
      const line = Math.round(height(clip) / pitch);
      if (!lines.has(line)) lines.set(line, []);
      lines.get(line).push(clip);
    }
    const crowded = [...lines].filter(([, inside]) => inside.length > capacity * 4).map(([line]) => line);
    for (;;) {
      const bars = merged(crowded, lines, pitch);
      const places = new Map();
      let failed = null;
      const room = (line) => (bars.some((one) => Math.abs(one.y - line * pitch) < BAR / 2 + pitch / 2) ? 0 : capacity - (places.get(line) || []).length);
      for (const [line, inside] of [...lines].sort((a, b) => b[1].length - a[1].length)) {
        if (crowded.includes(line)) continue;
        for (const clip of inside) {
          const free = [0, -1, 1, -2, 2].map((step) => line + step).find((one) => room(one) > 0);
          if (free === undefined) { failed = line; break; }
          if (!places.has(free)) places.set(free, []);
          places.get(free).push(clip);
        }
        if (failed !== null) break;
      }
      if (failed !== null) { crowded.push(failed); continue; }
      const points = bars.map((one) => bar(one.clips, span, one.y));
      for (const [line, inside] of places) {
        inside.forEach((clip, n) => points.push({ clip, x: span.middle + (n - (inside.length - 1) / 2) * pitch, y: line * pitch }));
      }
      return points;
    }
  }

  /* Makes bars of crowded lines; those that would lie on each other are one, at the mean height of their clips. */
  function merged(crowded, lines, pitch) {
    const bars = [...crowded].sort((a, b) => a - b).map((line) => ({ y: line * pitch, clips: lines.get(line) }));
    for (let n = 1; n < bars.length;) {
      const [above, below] = [bars[n - 1], bars[n]];
      if (below.y - above.y >= BAR + 2) { n += 1; continue; }
      const clips = [...above.clips, ...below.clips];
      bars.splice(n - 1, 2, { y: (above.y * above.clips.length + below.y * below.clips.length) / clips.length, clips });
      n = Math.max(1, n - 1);
    }
    return bars;
  }

  const BAR = 14; // height of a bar, pixels
  const bar = (list, span, y) => ({ clips: list, x: span.middle, y, width: span.width - 10 });

  function drawBar(picture, point, tint) {
    const parts = new Map();
    for (const clip of point.clips) {
      const shade = clip.shown ? shadeRank(clip, tint) : 100;
      parts.set(shade, (parts.get(shade) || 0) + 1);
    }
    let x = point.x - point.width / 2;
    for (const [shade, count] of [...parts].sort((a, b) => a[0] - b[0])) {
      const width = point.width * count / point.clips.length;
      picture.append(svg("rect", { class: shade === 100 ? "ghost" : `bar ${shadeClass(shade === 99 ? -1 : shade)}`, x, y: point.y - BAR / 2, width, height: BAR, rx: 2 }));
      x += width;
    }
    const count = point.clips.filter((clip) => clip.shown).length;
    if (count === 0) return;
    const text = whole.format(count);
    picture.append(svg("text", { class: "bar-count", x: point.x, y: point.y + 3.7 }, text));
  }

  function drawLegend(tint) {
    const counts = new Map();
    for (const clip of shown) counts.set(shadeOf(clip, tint), (counts.get(shadeOf(clip, tint)) || 0) + 1);
    const rest = tint.value.length && duties.some(([key]) => key === tint.key) ? "unstated" : UNKNOWN;
    const places = [...new Set(clips.map((clip) => shadeOf(clip, tint)))].sort((a, b) => (a < 0 ? 99 : a) - (b < 0 ? 99 : b));
    $("legend").replaceChildren(...places.map((shade) => el("li", {},
      svg("svg", { width: 12, height: 12, viewBox: "-6 -6 12 12", "aria-hidden": "true" }, svg("path", { class: `mark ${shadeClass(shade)}`, d: shape(shade, 0, 0, 4.5) })),
      `${shade < 0 ? rest : tint.order[shade]} `, el("span", { class: "sub" }, whole.format(counts.get(shade) || 0)))));
  }

  function under(event) {
    const box = chart.picture.getBoundingClientRect();
    const x = (event.clientX - box.left) * (chart.picture.viewBox.baseVal.width / box.width);
    const y = (event.clientY - box.top) * (chart.picture.viewBox.baseVal.height / box.height);
    let best = null;
    let least = 14;
    for (const point of chart.points) {
      const dx = point.clip ? Math.abs(point.x - x) : Math.max(0, Math.abs(point.x - x) - point.width / 2);
      const far = Math.hypot(dx, point.clip ? point.y - y : Math.max(0, Math.abs(point.y - y) - BAR / 2));
      if (far < least) { best = point; least = far; }
    }
    return best;
  }

  function pointAt(point, event) {
    const tip = $("tip");
    if (!point) {
      if (chart) { chart.at = null; chart.ring.setAttribute("visibility", "hidden"); }
      tip.hidden = true;
      return;
    }
    chart.byKey = event === undefined;
    if (chart.at !== point) {
      chart.at = point;
      fill(chart.ring, { cx: point.x.toFixed(1), cy: point.y.toFixed(1), visibility: "visible" });
      tip.replaceChildren(...(point.clip ? clipTip(point.clip) : barTip(point)));
    }
    tip.hidden = false;
    const box = chart.picture.getBoundingClientRect();
    const x = event ? event.clientX : box.left + point.x;
    const y = event ? event.clientY : box.top + point.y;
    const left = Math.min(x + 14, window.innerWidth - tip.offsetWidth - 8);
    const top = y + 14 + tip.offsetHeight > window.innerHeight ? y - tip.offsetHeight - 14 : y + 14;
    tip.style.left = `${Math.max(8, left)}px`;
    tip.style.top = `${Math.max(8, top)}px`;
  }

  function clipTip(clip) {
    const list = [
      ["resolution", sizeText(clip)], ["rate", clip.media === "image" ? "a picture" : clip.fps === null ? null : `${rateText(clip)} per second`],
      ["frames", clip.frames === null ? null : whole.format(clip.frames)],
      ["samples", clip.bits === null ? null : `${clip.bits} bit, ${clip.chroma}`],
      ["file size", clip.bytes === null ? null : human(clip.bytes)],
      ["licence", clip.lic.name], ["patches", `pass on: ${clip.lic.answers[1]}`],
      ["access", clip.access], ["published", clip.src.year],
    ];
    return [el("b", {}, `${clip.src.id}/${clip.id}`), el("dl", {}, ...list.flatMap(([name, value]) => [el("dt", {}, name), el("dd", {}, known(value))]))];
  }

  function barTip(point) {
    const inside = point.clips.filter((clip) => clip.shown);
    const counts = new Map();
    for (const clip of inside) counts.set(clip.src.id, (counts.get(clip.src.id) || 0) + 1);
    return [el("b", {}, plural(inside.length, "clip")), el("dl", {}, ...[...counts].sort((a, b) => b[1] - a[1]).slice(0, 8)
      .flatMap(([name, count]) => [el("dt", {}, name), el("dd", {}, whole.format(count))])), "Press to see only their sources and resolution."];
  }

  function openPoint(point) {
    if (point.clip) { openClip(point.clip); return; }
    const inside = point.clips.filter((clip) => clip.shown);
    for (const key of ["source", "size"]) facetOf(key).chosen = new Set(inside.map(facetOf(key).value));
    pointAt(null);
    update();
  }

  function keyOnChart(event) {
    const steps = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
    const { points, at } = chart;
    if (points.length === 0) return;
    let next = null;
    if (event.key === "Escape") { pointAt(null); return; }
    if (event.key === "Enter" && at) { event.preventDefault(); openPoint(at); return; }
    if (event.key === "Home") next = points[0];
    else if (event.key === "End") next = points[points.length - 1];
    else if (steps[event.key]) {
      const [dx, dy] = steps[event.key];
      next = at === null ? points[0] : points.reduce((best, point) => {
        const along = (point.x - at.x) * dx + (point.y - at.y) * dy;
        if (point === at || along < 0.5) return best;
        const across = Math.abs((point.x - at.x) * dy) + Math.abs((point.y - at.y) * dx);
        const cost = along + 2.5 * across;
        return best === null || cost < best.cost ? { point, cost } : best;
      }, null);
      if (next && next.point) next = next.point;
    } else return;
    event.preventDefault();
    if (!next) return;
    pointAt(next);
    say(next.clip ? [next.clip.src.id, next.clip.id, sizeText(next.clip) || "size unknown", next.clip.frames ? plural(next.clip.frames, "frame") : "frames unknown",
      next.clip.lic.name].join(", ") : plural(next.clips.filter((clip) => clip.shown).length, "clip"));
  }

  // ---------------------------------------------------------------- the table

  const missing = (value) => value === null || value === undefined;
  const COLUMNS = [
    { key: "clip", label: "Clip", value: (c) => c.text.split(" ", 1)[0] },
    { key: "size", label: "Resolution", wide: true, number: true, value: (c) => (c.width && c.height ? c.width * c.height : null), cell: sizeText },
    { key: "rate", label: "Rate", wide: true, number: true, value: (c) => c.fps, cell: (c) => (c.media === "image" ? "–" : rateText(c)) },
    { key: "frames", label: "Frames", number: true, value: (c) => c.frames, cell: (c) => (c.frames === null ? null : whole.format(c.frames)) },
    { key: "bits", label: "Bits", wide: true, number: true, value: (c) => c.bits },
    { key: "chroma", label: "Chroma", wide: true, value: (c) => c.chroma },
    { key: "bytes", label: "File size", number: true, value: (c) => c.bytes, cell: (c) => (c.bytes === null ? null : human(c.bytes)) },
    { key: "licence", label: "Licence", wide: true, value: (c) => c.lic.name },
    { key: "derived", label: "Pass on patches", wide: true, value: (c) => c.lic.answers[1] },
    { key: "access", label: "Access", wide: true, value: (c) => c.access },
  ];
  let sorted = { key: null, down: false };
  let rowsShown = ROWS;

  function drawHeads() {
    $("heads").replaceChildren(...COLUMNS.map((head) => el("th", { scope: "col", class: [head.number ? "num" : "", head.wide ? "wide" : ""].join(" ").trim() || null, "data-key": head.key },
      el("button", { type: "button", onclick: () => sortBy(head.key) }, head.label))));
    $("sort").replaceChildren(el("option", { value: "" }, "catalog order"), ...COLUMNS.flatMap((head) => [
      el("option", { value: head.key }, `${head.label}, ascending`), el("option", { value: `-${head.key}` }, `${head.label}, descending`)]));
    $("sort").addEventListener("change", () => {
      const value = $("sort").value;
      sorted = value ? { key: value.replace(/^-/, ""), down: value.startsWith("-") } : { key: null, down: false };
      drawRows();
      remember();
    });
  }

  function sortBy(key) {
    const head = COLUMNS.find((one) => one.key === key);
    const first = Boolean(head.number);
    // Numbers start with the largest; a third press is the catalog's own order again.
    if (sorted.key !== key) sorted = { key, down: first };
    else if (sorted.down === first) sorted = { key, down: !first };
    else sorted = { key: null, down: false };
    drawRows();
    remember();
  }

  function inOrder() {
    if (sorted.key === null) return shown;
    const { value } = COLUMNS.find((one) => one.key === sorted.key);
    const sign = sorted.down ? -1 : 1;
    // What is not known comes last either way.
    return [...shown].sort((a, b) => {
      const [p, q] = [value(a), value(b)];
      if (missing(p) || missing(q)) return Number(missing(p)) - Number(missing(q)) || a.row - b.row;
      return (p < q ? -sign : p > q ? sign : 0) || a.row - b.row;
    });
  }

  function drawRows() {
    for (const head of $("heads").children) {
      if (head.dataset.key === sorted.key) head.setAttribute("aria-sort", sorted.down ? "descending" : "ascending");
      else head.removeAttribute("aria-sort");
    }
    $("sort").value = sorted.key === null ? "" : (sorted.down ? "-" : "") + sorted.key;
    const list = inOrder();
    const body = $("rows");
    body.replaceChildren(...list.slice(0, rowsShown).map(rowOf));
    if (list.length === 0) {
      body.append(el("tr", {}, el("td", { class: "none", colspan: COLUMNS.length }, clips.length ? "No clip fits. Take a filter away, or shorten the search." : "The catalog lists no clips.")));
    }
    const left = list.length - rowsShown;
    $("more").hidden = left <= 0;
    $("more").textContent = `Show ${whole.format(Math.min(ROWS, Math.max(0, left)))} more of ${whole.format(Math.max(0, left))}`;
    $("all").hidden = left <= ROWS;
  }

  // A long name breaks behind an underscore, before it breaks anywhere.
  const breakable = (name) => name.split(/(?<=_)/).flatMap((part, n) => (n ? [el("wbr"), part] : [part]));

  function rowOf(clip) {
    const brief = [sizeText(clip) || "size unknown", clip.media === "image" ? null : clip.fps === null ? "rate unknown" : `${rateText(clip)} fps`,
      clip.bits === null ? "samples unknown" : `${clip.bits} bit ${clip.chroma}`, clip.lic.name].filter(Boolean).join(" · ");
    return el("tr", {}, ...COLUMNS.map((head) => {
      if (head.key === "clip") {
        return el("th", { scope: "row" }, el("button", { type: "button", class: "link", onclick: () => openClip(clip) },
          el("span", { class: "source-part" }, `${clip.src.id}/`), ...breakable(clip.id)), el("span", { class: "brief" }, brief));
      }
      const text = head.cell ? head.cell(clip) : head.value(clip);
      const cell = el("td", { class: [head.number ? "num" : "", head.wide ? "wide" : ""].join(" ").trim() || null });
      cell.append(text === "unstated" ? unknown(text) : known(text));
      if (head.key === "bytes" && clip.bytes === null && clip.archiveBytes) cell.replaceChildren(el("span", { class: "sub" }, `in ${human(clip.archiveBytes)}`));
      return cell;
    }));
  }

  // ---------------------------------------------------------------- one clip, and what can be copied

  const EVIDENCE = { SEEN: "seen", COMPUTED: "computed", COMPOSED: "composed", INFERRED: "inferred" };

  function openClip(clip) {
    const status = Object.fromEntries(clip.evidence.split(" ").filter(Boolean).map((text) => text.split("=")));
    const badge = (...parts) => {
      const marks = [...new Set(parts.map((fact) => EVIDENCE[status[fact]]).filter(Boolean))];
      return marks.map((mark) => el("span", { class: "badge" }, mark));
    };
    const line = (name, value, ...parts) => [el("dt", {}, name), el("dd", {}, value === null || value === undefined ? unknown() : value, ...(value === null || value === undefined ? [] : badge(...parts)))];
    const brought = clip.src.access === "manual" || clip.access === "unknown address"; // nothing can fetch it: a person brings it
    const command = brought ? `sr-data import ${clip.src.id} FILES` : `sr-data fetch ${clip.src.id}/${clip.id}`;
    const licence = el("div", { class: "license" },
      el("p", {}, el("b", {}, clip.lic.name), clip.lic.url ? " " : null, clip.lic.url ? link(clip.lic.url) : null),
      el("ul", { class: "answers" }, ...duties.map(([, label], place) => el("li", { class: clip.lic.answers[place] }, `${label}: `, el("b", {}, clip.lic.answers[place])))),
      clip.lic.terms ? el("p", { class: "terms" }, clip.lic.terms) : null);
    const inside = clip.archive ? `in the archive ${clip.archive}${clip.archiveBytes ? ` of ${human(clip.archiveBytes)}` : ", whose size is unknown"}` : null;
    const parts = [
      el("div", { class: "head" }, el("h2", { id: "clip-title" }, `${clip.src.id}/`, ...breakable(clip.id)), el("button", { type: "button", onclick: () => $("clip").close() }, "Close")),
      clip.notes ? el("p", {}, clip.notes) : null,
      el("dl", { class: "facts" },
        ...line("Kind", MEDIA[clip.media]),
        ...line("Resolution", sizeText(clip), "width", "height"),
        ...line("Frames", clip.frames === null ? null : whole.format(clip.frames), "num_frames"),
        ...(clip.media === "image" ? [] : line("Frame rate", clip.rate === null ? null : clip.rate.includes("/") ? `${rateText(clip)} (${clip.rate})` : clip.rate, "frame_rate")),
        ...(clip.media === "image" ? [] : line("Duration", clip.seconds === null ? null : `${secondsText(clip.seconds)}, computed`)),
        ...line("Samples", clip.format === null ? null : `${clip.format}${clip.bits === null ? "" : `: ${clip.bits} bit, ${clip.chroma}`}`, "pixel_format"),
        ...line("Matrix, range", clip.matrix || clip.range ? `${clip.matrix || "matrix unknown"}, ${clip.range || "range unknown"}` : null, "matrix", "range"),
        ...line("File size", clip.bytes === null ? inside : `${human(clip.bytes)} (${whole.format(clip.bytes)} bytes)${inside ? `, ${inside}` : ""}`, "size_bytes"),
        ...line("Decoded", clip.decoded === null ? null : `${human(clip.decoded)}, computed`),
        ...line("Checksum", clip.checksum === null ? "none published that was found" : `${clip.checksum}, published`),
        ...line("Lossless", clip.pristine === "unstated" ? null : clip.pristine === "yes" ? "free of lossy coding" : "was coded lossily before", "pristine"),
        ...(clip.groups ? line("Groups", clip.groups) : [])),
      el("p", { class: "sub" }, "Marks say how a fact is known; ", el("code", {}, `sr-data show ${clip.src.id}/${clip.id}`), " prints the evidence."),
      el("h3", {}, "Licence"), licence,
      el("h3", {}, brought ? "To bring it in" : "To fetch it"), citable(command, "Copy", "code"),
      el("h3", {}, "Citation"), citable(clip.src.cite, "Copy text", "p"),
      clip.src.bibtex ? citable(clip.src.bibtex.trim(), "Copy BibTeX", "pre") : null,
      el("p", {}, el("a", { href: `#source-${clip.src.id}`, onclick: () => { $("clip").close(); openSource(clip.src.id); } }, `All of ${clip.src.title}`)),
    ];
    $("clip-body").replaceChildren(...parts.filter((part) => part !== null));
    pointAt(null);
    $("clip").showModal();
    $("clip").scrollTop = 0;
  }

  const citable = (text, label, tag) => {
    const button = el("button", { type: "button", class: "copy", onclick: () => copy(text, button) }, label);
    return el("div", { class: "cite" }, tag === "code" ? el("p", {}, el("code", {}, text)) : el(tag, {}, text), button);
  };

  async function copy(text, button) {
    let done = false;
    try {
      await navigator.clipboard.writeText(text);
      done = true;
    } catch {
      // Older browsers and pages opened without a secure origin: copy from a field instead.
      const field = el("textarea", { class: "visually-hidden", readonly: true });
      field.value = text;
      (button.closest("dialog") || document.body).append(field);
      field.select();
      done = document.execCommand("copy");
      field.remove();
      button.focus();
    }
    if (button.dataset.label === undefined) button.dataset.label = button.textContent;
    button.textContent = done ? "Copied" : "Select and copy by hand";
    button.classList.toggle("copied", done);
    say(done ? "Copied" : "Copying failed");
    clearTimeout(Number(button.dataset.timer));
    button.dataset.timer = setTimeout(() => { button.textContent = button.dataset.label; button.classList.remove("copied"); delete button.dataset.label; }, 1600);
  }

  const say = (text) => { $("said").textContent = text; };

  function openSource(id) {
    const part = $(`source-${id}`);
    if (part) { part.open = true; part.querySelector("summary").focus({ preventScroll: true }); }
  }

  function updateCitations() {
    for (const part of document.querySelectorAll(".source")) part.classList.toggle("out", !shownSources.includes(facts.sources[Number(part.dataset.source)]));
    const count = shownSources.length;
    for (const [id, what] of [["copy-text", "citation"], ["copy-bibtex", "BibTeX entry"]]) {
      $(id).disabled = count === 0;
      delete $(id).dataset.label;
      $(id).textContent = `Copy ${plural(count, what, what === "citation" ? "citations" : "BibTeX entries")}`;
    }
  }

  // ---------------------------------------------------------------- all together

  let waiting = 0;
  function update() {
    rowsShown = ROWS;
    filterClips();
    updateFacets();
    updateMatrix();
    drawChart();
    drawRows();
    updateCitations();
    remember();
  }

  // The address keeps the view, so that it can be passed on: overview.html#?source=xiph
  function remember() {
    const view = new URLSearchParams();
    if ($("search").value) view.set("q", $("search").value);
    for (const facet of FACETS) for (const value of facet.chosen) view.append(facet.key, value);
    if (measure() !== MEASURES[0]) view.set("height", measure().key);
    if (colour() !== COLOURS[0]) view.set("colour", colour().key);
    if (sorted.key !== null) view.set("sort", (sorted.down ? "-" : "") + sorted.key);
    const text = view.toString();
    if (!text && !location.hash.startsWith("#?")) return;
    try { history.replaceState(null, "", text ? `#?${text}` : location.pathname + location.search); } catch { /* some viewers forbid it */ }
  }

  function recall() {
    if (!location.hash.startsWith("#?")) {
      if (location.hash.startsWith("#source-")) openSource(location.hash.slice("#source-".length));
      return;
    }
    const view = new URLSearchParams(location.hash.slice(2));
    $("search").value = view.get("q") || "";
    for (const facet of FACETS) facet.chosen = new Set(view.getAll(facet.key).filter((value) => facet.values.includes(value)));
    if (MEASURES.some((m) => m.key === view.get("height"))) $("measure").value = view.get("height");
    if (COLOURS.some((c) => c.key === view.get("colour"))) $("colour").value = view.get("colour");
    const sort = view.get("sort") || "";
    if (COLUMNS.some((head) => head.key === sort.replace(/^-/, ""))) sorted = { key: sort.replace(/^-/, ""), down: sort.startsWith("-") };
  }

  for (const node of document.querySelectorAll(".needs-script")) node.hidden = false;
  $("filters").open = window.innerWidth > 900;
  $("measure").append(...MEASURES.map((one) => el("option", { value: one.key }, one.label)));
  $("colour").append(...COLOURS.map((one) => el("option", { value: one.key }, one.label)));
  drawFacets();
  drawHeads();
  recall();
  $("search").addEventListener("input", () => { cancelAnimationFrame(waiting); waiting = requestAnimationFrame(update); });
  for (const id of ["measure", "colour"]) $(id).addEventListener("change", () => { drawChart(); remember(); });
  $("more").addEventListener("click", () => {
    const next = rowsShown;
    rowsShown += ROWS;
    drawRows();
    const row = $("rows").children[next];
    if (row) row.querySelector("button").focus({ preventScroll: true });
  });
  $("all").addEventListener("click", () => { rowsShown = Infinity; drawRows(); });
  $("copy-text").addEventListener("click", () => copy([...new Set(shownSources.map((source) => source.cite.trim()))].join("\n"), $("copy-text")));
  $("copy-bibtex").addEventListener("click", () => copy([...new Set(shownSources.map((source) => source.bibtex.trim()).filter(Boolean))].join("\n\n"), $("copy-bibtex")));
  for (const button of document.querySelectorAll(".source button[data-copy]")) {
    const source = facts.sources[Number(button.closest(".source").dataset.source)];
    button.addEventListener("click", () => copy((button.dataset.copy === "text" ? source.cite : source.bibtex).trim(), button));
  }
  for (const name of document.querySelectorAll(".matrix .name")) name.addEventListener("click", () => openSource(name.getAttribute("href").slice("#source-".length)));
  $("clip").addEventListener("click", (event) => { if (event.target === $("clip")) $("clip").close(); });
  // The mouse leaves its mark behind when the page scrolls; a mark of the keyboard stays.
  window.addEventListener("scroll", () => pointAt(chart && chart.byKey ? chart.at : null), { passive: true });
  new ResizeObserver(() => { if ($("plot").clientWidth !== drawnWidth) requestAnimationFrame(drawChart); }).observe($("plot"));
  // On paper there is no button to press: more rows, and the licence and citation of every source that is shown.
  let closed = [];
  window.addEventListener("beforeprint", () => {
    rowsShown = PRINTED;
    drawRows();
    const left = shown.length - PRINTED;
    $("left-out").textContent = left > 0 ? `${plural(left, "clip")} more: choose some by the filters, or print the list of sr-data list.` : "";
    closed = [...document.querySelectorAll(".source:not([open]):not(.out)")];
    for (const part of closed) part.open = true;
  });
  window.addEventListener("afterprint", () => { rowsShown = ROWS; drawRows(); $("left-out").textContent = ""; for (const part of closed) part.open = false; });
  update();
})();
