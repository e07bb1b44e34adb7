/* The page of heat maps: #/2. The heat map itself is the dashboard's; this gives it the cells that it asks for. */
"use strict";

(async () => {
  const page = document.getElementById("heat-page"), host = make("div"), root = host.attachShadow({ mode: "open" });
  const bar = make("div", { class: "bar" }), opened = make("div", { "aria-live": "polite" }), below = make("div");
  let site, at = null;

  const held = (what, base64) => loupe.column(`${at.about.slug} ${what}`, loupe.bytes(base64));
  const draw = () => {
    const { drawn } = at, tree = (k) => drawn.trees[k] && { key: held(`tree ${k}`, drawn.trees[k].bytes), height: drawn.trees[k].height };
    loupe.parts.heat({ parentElement: root, setTriggerValue: heard, data: { ...drawn, stops: drawn.looks[loupe.theme()], cells: held("cells", drawn.cells), names: drawn.names.map((names, k) => held(`names ${k}`, names)),
      trees: { rows: tree(0), columns: tree(1) }, finest: drawn.finest ?? 0, view: null, fades: at.fades, marked: at.marked, height: Math.max(420, Math.min(690, window.innerHeight - 200)) } });
  };

  /* Gathered cells of a level over a box of single cells, put together of the blocks that are here. */
  const block = async ([r0, r1, c0, c1], most) => {
    const { drawn, about } = at;
    let level = drawn.finest, span;
    for (;; level++) {
      const side = 2 ** level;
      span = [Math.floor(r0 / side), Math.ceil(r1 / side), Math.floor(c0 / side), Math.ceil(c1 / side)];
      if (Math.max(span[1] - span[0], span[3] - span[2]) <= most) break;
    }
    const [i0, i1, j0, j1] = span, high = i1 - i0, wide = j1 - j0, n = drawn.block, cells = new Int16Array(high * wide).fill(-32768), jobs = [];
    for (let a = Math.floor(i0 / n); a < Math.ceil(i1 / n); a++) for (let b = Math.floor(j0 / n); b < Math.ceil(j1 / n); b++) {
      jobs.push(loupe.load(`heat/${about.slug}/${level}-${a}-${b}`).then((part) => {
        const values = new Int16Array(loupe.bytes(part.cells).buffer);
        for (let i = 0; i < part.rows; i++) for (let j = 0; j < part.columns; j++) {
          const y = a * n + i - i0, x = b * n + j - j0;
          if (y >= 0 && x >= 0 && y < high && x < wide) cells[y * wide + x] = values[i * part.columns + j];
        }
      }));
    }
    await Promise.all(jobs);
    const bytes = new Uint8Array(32 + 2 * cells.length), head = new DataView(bytes.buffer);
    [i0 * 2 ** level, j0 * 2 ** level, level, high, wide].forEach((v, k) => head.setInt32(4 * k, v, true));
    head.setFloat32(20, drawn.scale, true);
    new Int16Array(bytes.buffer, 32).set(cells);
    return bytes;
  };
  const heard = async (what, told) => {
    if (what === "fade") at.fades = told.on;
    if (what === "open") pair(told);
    if (what !== "view" || !told.ask || at.drawn.finest === null) return;
    try {
      loupe.column(told.ask, await block(told.block, told.most));
    } catch (error) {
      loupe.problem(opened, error);
    }
  };
  const pair = ({ rows, columns }) => {
    const one = (k, [from, to]) => {
      const unit = at.units[k][from], tap = site.taps.find((t) => t.reference === at.drawn.taps[k]);
      if (to - from > 1) return make("span", {}, `${(to - from).toLocaleString("en")} lines`);
      return loupe.published(tap, unit) && at.drawn.of === "units" ? make("a", { href: loupe.feature(tap.reference, unit) }, `${tap.word} ${unit}`) : make("span", {}, `${at.drawn.of.replace(/s$/, "")} ${unit}`);
    };
    opened.replaceChildren(make("p", {}, one(0, rows), " and ", one(1, columns)));
  };
  const open = async () => {
    const { parts: [text] } = loupe.address(), about = site.heatmaps[/^\d{1,6}$/.test(text) ? Number(text) : 0];
    if (!about) return loupe.problem(page, "No such heat map was published here.");
    const drawn = await loupe.load(`heat/${about.slug}/whole`);
    root.__loupeMap?.leave();
    at = { about, drawn, fades: true, marked: null, units: drawn.units.map((base64) => new Int32Array(loupe.bytes(base64).buffer)) };
    bar.replaceChildren(labelled("Heat map", choice(site.heatmaps.map((one, k) => [String(k), `${one.title} (${one.shape.join(" × ")})`]), String(site.heatmaps.indexOf(about)), (k) => (location.hash = loupe.link("", [k])))));
    const { reading, caveats, estimates } = drawn.notes, rows = estimates.map((line) => make("tr", {}, line.map((cell) => make("td", {}, cell))));
    const table = make("div", { class: "wide", tabindex: 0, role: "region", "aria-label": "Numbers" }, make("table", {}, make("thead", {}, make("tr", {}, ["Number", "Value [interval]", "By chance", "How"].map((head) => make("th", { scope: "col" }, head)))), make("tbody", {}, rows)));
    below.replaceChildren(reading ? make("p", {}, reading) : "", ...caveats.map((line) => make("p", { class: "said" }, line)), rows.length ? table : "");
    opened.replaceChildren();
    if (!page.contains(host)) page.replaceChildren(bar, host, opened, below);
    draw();
    document.title = `${about.title} · ${site.title}`;
    return undefined;
  };
  try {
    site = await loupe.load("site");
    loupe.onTheme(() => at && draw());
    window.addEventListener("hashchange", () => open().catch((error) => loupe.problem(page, error)));
    await open();
  } catch (error) {
    loupe.problem(page, error);
  }
})();
