/* The page of maps: #/STORE:TAP/method?colour=label&sample=12. The map itself is the dashboard's; this answers it. */
"use strict";

(async () => {
  const page = document.getElementById("map-page"), host = make("div"), root = host.attachShadow({ mode: "open" });
  const side = make("div", { "aria-live": "polite" }), below = make("div"), bar = make("div", { class: "bar" });
  let site, at = null;

  /* Columns of the present map, under keys of their own. */
  const placed = (about, drawn) => {
    const name = (what) => `${about.slug} ${what}`, held = (what, base64) => (base64 ? loupe.column(name(what), loupe.bytes(base64)) : null);
    const series = drawn.series && { keys: drawn.series.frames.map((frame, k) => held(`frame ${k}`, frame)), names: drawn.series.names, note: "", step: drawn.series.step };
    return { positions: series ? series.keys[series.step] : held("places", drawn.positions), members: held("members", drawn.members), series };
  };
  const data = () => {
    const { drawn, columns, colour } = at, look = site.themes[loupe.theme()], chosen = drawn.colours.find((one) => one.id === colour);
    const painted = chosen && { ...chosen[loupe.theme()], key: loupe.column(`${at.about.slug} colour ${chosen.id}`, loupe.bytes(chosen.column)) };
    return { n: drawn.n, label: drawn.label, of: drawn.of, dims: drawn.dims, grid: drawn.grid, axes: drawn.dims < 3 ? drawn.axes : drawn.axes?.map((axis) => axis.split(" (")[0]) ?? null,
      positions: columns.positions, members: columns.members, series: columns.series, colour: painted ?? null, greys: look.greys, density: look.sequential, mode: null, mask: at.mask ? { key: at.mask } : null,
      stamp: at.stamp, cards: null, card: at.card, focus: at.focus, labels: [], view: at.view, compact: false, height: Math.max(420, Math.min(680, window.innerHeight - 230)) };
  };
  const draw = () => loupe.parts.map({ parentElement: root, data: data(), setTriggerValue: heard });
  const state = () => loupe.restate(loupe.link("", [at.about.reference, at.about.method], { colour: at.colour === at.drawn.usual ? "" : at.colour, sample: at.sample ?? "", q: at.search }));

  // ------------------------------------------------------------------ points and samples
  const memberOf = (row) => (at.members ? [at.members[2 * row], at.members[2 * row + 1]] : [row, -1]);
  const tapOf = () => site.taps.find((one) => one.reference === at.about.reference);
  const unitOf = (row) => at.rows?.[row] ?? null;
  const tokenName = (token) => {
    const { grid, leading } = at.drawn.patches, k = token - (leading ?? 0);
    if (k < 0) return leading === 1 ? "class token" : `leading token ${token}`;
    return grid && k < grid[0] * grid[1] ? `patch (${Math.floor(k / grid[1]) + 1}, ${(k % grid[1]) + 1})` : `token ${k}`;
  };
  const box = (token) => {
    const { grid, leading } = at.drawn.patches, k = token - (leading ?? 0);
    return grid && k >= 0 && k < grid[0] * grid[1] ? [(k % grid[1]) / grid[1], Math.floor(k / grid[1]) / grid[0], 1 / grid[1], 1 / grid[0]] : null;
  };
  const cardOf = async (row) => {
    if (at.rows) {
      const here = loupe.published(tapOf(), unitOf(row));
      return { row, title: `${tapOf()?.word ?? "unit"} ${unitOf(row)}`, lines: [here ? "click to open its card" : "its card was not published"], image: null };
    }
    const [sample, token] = memberOf(row), entry = await samples.read(site, at.about.store, sample);
    const lines = entry ? (entry.table ?? []).map(([name, text]) => `${name}: ${text}`).concat(entry.table ? [] : [entry.facts].filter(Boolean)) : [];
    if (token >= 0) lines.push(tokenName(token));
    return { row, title: entry?.title ?? `sample ${sample}`, lines, image: samples.picture(at.about.store, entry), tokens: entry?.tokens ?? null, marked: token, box: token >= 0 ? box(token) : null };
  };
  const rowOf = (sample) => {
    if (!at.members) return sample < at.drawn.n ? sample : -1;
    for (let i = 0; i < at.drawn.n; i++) if (at.members[2 * i] === sample) return i;
    return -1;
  };
  const show = async (sample) => {
    const entry = await samples.read(site, at.about.store, sample).catch(() => null);
    side.replaceChildren(samples.panel(site, at.about.store, sample, entry));
  };
  const heard = async (what, told) => {
    const here = at;
    if (what === "hover") {
      const card = await cardOf(told.row).catch(() => null);
      if (here === at && card) (at.card = card), draw();
    }
    if (what === "click" && at.rows) {
      if (loupe.published(tapOf(), unitOf(told.row))) location.href = loupe.feature(at.about.reference, unitOf(told.row));
    }
    else if (what === "click") {
      [at.focus, at.sample] = [told.row, memberOf(told.row)[0]];
      draw();
      state();
      show(at.sample);
    }
    if (what === "select") at.stamp = told.stamp, chosen(told.count ? unpacked(told.mask, at.drawn.n) : null);
  };
  const unpacked = (base64, n) => {
    const bits = loupe.bytes(base64), rows = [];
    for (let i = 0; i < n; i++) if (bits[i >> 3] & (128 >> (i & 7))) rows.push(i);
    return rows;
  };
  /* What was drawn around, as words and as a list. */
  const chosen = async (rows) => {
    if (!rows) return void side.replaceChildren(hint());
    if (at.rows) {
      const links = rows.slice(0, 60).map((row) => make("li", {}, loupe.published(tapOf(), unitOf(row)) ? make("a", { href: loupe.feature(at.about.reference, unitOf(row)) }, `${unitOf(row)}`) : `${unitOf(row)}`));
      return void side.replaceChildren(make("div", { class: "panel" }, make("h2", {}, `${rows.length.toLocaleString("en")} selected`), make("ul", {}, links)));
    }
    const all = [...new Set(rows.map((row) => memberOf(row)[0]))], first = all.slice(0, 24);
    const found = await Promise.all(first.map((sample) => samples.read(site, at.about.store, sample).catch(() => null)));
    const lines = first.map((sample, k) => make("li", {}, make("button", { type: "button", onclick: () => samples.open(site, at.about.store, sample) }, found[k]?.title ?? `sample ${sample}`), ` ${found[k]?.facts ?? ""}`));
    side.replaceChildren(make("div", { class: "panel" }, make("h2", {}, `${loupe.count(all.length, "sample")} selected`), make("ul", {}, lines), all.length > 24 ? make("p", { class: "said" }, `and ${(all.length - 24).toLocaleString("en")} more`) : ""));
  };
  const hint = () => make("div", { class: "panel" }, make("h2", {}, at.rows ? "Units" : "Samples"), make("p", { class: "muted" }, at.rows ? "Click a point to open its card." : "Point at the map to see a sample; click one to keep it here with its features; draw around some with the lasso."));

  // ------------------------------------------------------------------ search: words in ids, labels, facts and texts
  const seek = async (text, told) => {
    at.search = text;
    state();
    const words = text.toLowerCase().split(/\s+/).filter(Boolean), here = at;
    if (!words.length || at.rows) return clear(told, "");
    const wanted = new Map(), per = site.samples;
    for (let i = 0; i < at.drawn.n; i++) wanted.set(Math.floor(memberOf(i)[0] / per), true);
    const hits = new Set();
    for (const k of wanted.keys()) {
      const entries = await loupe.load(`samples/${at.about.store}/${k}`);
      if (here !== at || at.search !== text) return undefined;
      for (const [sample, entry] of Object.entries(entries)) {
        const said = [entry.title, entry.facts, ...(entry.table ?? []).map((pair) => pair.join(" ")), (entry.tokens ?? []).join("")].join("\n").toLowerCase();
        if (words.every((w) => said.includes(w))) hits.add(Number(sample));
      }
    }
    const flags = new Uint8Array(Math.ceil(at.drawn.n / 8));
    let n = 0;
    for (let i = 0; i < at.drawn.n; i++) if (hits.has(memberOf(i)[0])) (flags[i >> 3] |= 128 >> (i & 7)), n++;
    if (!n) return clear(told, "Nothing found.");
    at.mask = loupe.column(`${at.about.slug} found ${text}`, flags);
    [at.stamp, told.textContent] = [Date.now(), `${loupe.count(hits.size, "sample")} found; the others are dimmed.`];
    return draw();
  };
  const clear = (told, words) => {
    [at.mask, at.stamp, told.textContent] = [null, Date.now(), words];
    draw();
  };

  // ------------------------------------------------------------------ the page
  const open = async () => {
    const { parts: [reference, method], query } = loupe.address();
    const about = site.maps.find((one) => one.reference === reference && one.method === method) ?? site.maps.find((one) => one.reference === reference) ?? (reference ? null : site.maps[0]);
    if (!about) return loupe.problem(page, `No map of ${reference} was published here.`);
    const drawn = await loupe.load(`maps/${about.slug}`), ints = (base64) => base64 && new Int32Array(loupe.bytes(base64).buffer);
    const colours = drawn.colours.map((one) => one.id), wish = query.get("colour") ?? drawn.usual;
    at = { about, drawn, columns: placed(about, drawn), members: ints(drawn.members), rows: ints(drawn.rows), colour: colours.includes(wish) || wish === "none" ? wish : colours[0] ?? "none",
      mask: null, stamp: 0, card: null, focus: null, sample: null, view: null, search: "" };
    root.__loupeMap?.leave();
    bars();
    words();
    if (!page.contains(host)) page.replaceChildren(bar, make("div", { class: "beside" }, host, side), below);
    side.replaceChildren(hint());
    const sample = query.get("sample");
    if (/^\d{1,9}$/.test(sample ?? "") && !at.rows && rowOf(Number(sample)) >= 0) {
      [at.sample, at.focus] = [Number(sample), rowOf(Number(sample))];
      show(at.sample);
    }
    draw();
    document.title = `${about.title} · ${site.title}`;
    return undefined;
  };
  const bars = () => {
    const taps = [...new Set(site.maps.map((one) => one.reference))], mine = site.maps.filter((one) => one.reference === at.about.reference);
    const to = (reference, method) => (location.hash = loupe.link("", [reference, method]));
    const told = make("span", { class: "said", role: "status" }), search = make("input", { type: "search", placeholder: "an id, a label, a word", maxlength: 200 });
    let timer = null;
    search.oninput = () => (clearTimeout(timer), (timer = setTimeout(() => seek(search.value, told).catch((error) => (told.textContent = error.message)), 250)));
    const colours = [...at.drawn.colours.map((one) => [one.id, one.name]), ["none", "One colour"]];
    bar.replaceChildren(labelled("Tap", choice(taps.map((tap) => [tap, tap]), at.about.reference, (tap) => to(tap, site.maps.find((one) => one.reference === tap && one.method === at.about.method)?.method ?? site.maps.find((one) => one.reference === tap).method))),
      labelled("Map", choice(mine.map((one) => [one.method, one.name]), at.about.method, (method) => to(at.about.reference, method))),
      labelled("Colour", choice(colours, at.colour, (id) => ((at.colour = id), draw(), state()))), at.rows ? "" : labelled("Search samples", search, "grow"), told);
  };
  const words = () => {
    const { reading, caveats, estimates } = at.drawn, rows = estimates.map((line) => make("tr", {}, line.map((cell) => make("td", {}, cell))));
    const table = make("div", { class: "wide", tabindex: 0, role: "region", "aria-label": "What the picture distorts" }, make("table", {}, make("thead", {}, make("tr", {}, ["Number", "Value [interval]", "By chance", "How"].map((head) => make("th", { scope: "col" }, head)))), make("tbody", {}, rows)));
    below.replaceChildren(make("h2", {}, "How far to believe this picture"), reading ? make("p", {}, reading) : "", ...caveats.map((line) => make("p", { class: "said" }, line)), rows.length ? table : make("p", { class: "said" }, "No number was kept with this map."));
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
