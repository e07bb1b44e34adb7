/* The page of features: #/list/STORE:TAP (or #/list for all), #/feature/STORE:TAP/17. */
"use strict";

(async () => {
  const page = document.getElementById("features-page"), lists = new Map();
  let site, card = null, table = null;
  const listed = async (tap) => {
    if (!lists.has(tap.reference)) lists.set(tap.reference, new Listed(tap, await loupe.load(`taps/${tap.slug}/list`)));
    return lists.get(tap.reference);
  };
  const tapsOf = (reference) => (reference ? site.taps.filter((tap) => tap.reference === reference) : site.taps);

  // ------------------------------------------------------------------ the list
  const showList = async (reference, query) => {
    const taps = tapsOf(reference), asked = askedFrom(query);
    if (!taps.length) return loupe.problem(page, `No tap called ${reference} was published here.`);
    const found = await Promise.all(taps.map(listed)), bars = make("div", { class: "bar", role: "search" }), below = make("div");
    const go = (change) => {
      Object.assign(asked, change);
      loupe.restate(loupe.link("", reference ? ["list", reference] : ["list"], asksOf({ ...asked, from: "" })));
      draw();
    };
    const draw = () => {
      const held = table?.box.contains(document.activeElement), top = table?.box.scrollLeft ?? 0;
      table = new FeatureTable(found, asked, go);
      const all = found.reduce((sum, list) => sum + list.n, 0), n = table.found.length;
      const said = `${loupe.count(n, "feature")}${n < all ? ` of ${all.toLocaleString("en")}` : ""}, starred first. Choose one to open its card; arrow keys move.`;
      const why = found.length === 1 && asked.kind && found[0].data.kindWords[asked.kind];
      below.replaceChildren(make("p", { class: "said", role: "status" }, said, why ? ` ${asked.kind[0].toUpperCase()}${asked.kind.slice(1)}: ${why}` : ""),
        n ? table.box : make("p", { class: "notice" }, "No feature passes these filters. Choose “All” and clear the search."));
      table.draw();
      table.box.scrollLeft = top;
      if (held) table.box.querySelector(".head button")?.focus();
      kinds.querySelectorAll("button").forEach((b) => b.setAttribute("aria-pressed", String(b.dataset.kind === asked.kind)));
    };
    const counts = (kind) => found.reduce((sum, list) => sum + list.data.units.filter((_, i) => list.has(i, kind)).length, 0);
    const kinds = make("div", { class: "bar", role: "group", "aria-label": "Show" }, KINDS.map(([id, name]) =>
      make("button", { type: "button", "data-kind": id, title: found.length === 1 ? found[0].data.kindWords[id] ?? null : null, onclick: () => go({ kind: id }) }, `${name} (${counts(id).toLocaleString("en")})`)));
    const search = make("input", { type: "search", placeholder: "12, 40-60, a name, a note, a class", maxlength: 500, oninput: () => go({ search: search.value }) });
    search.value = asked.search;
    const taken = [["", `All ${site.taps.length} taps`], ...site.taps.map((tap) => [tap.reference, `${tap.reference} (${tap.n.toLocaleString("en")})`])];
    bars.append(labelled("Tap", choice(taken, reference, (to) => (location.hash = loupe.link("", to ? ["list", to] : ["list"], asksOf({ ...asked, class: "", from: "" }))))), labelled("Search", search, "grow"));
    const classes = [...new Set(found.flatMap((list) => list.data.texts.top_class ?? []))].filter(Boolean).sort((a, b) => a.localeCompare(b, "en", { numeric: true }));
    if (classes.length) bars.append(labelled("Strongest for class", choice([["", "any"], ...classes.map((c) => [c, c])], asked.class, (to) => go({ class: to }))));
    const partial = taps.filter((tap) => tap.n < tap.of).map((tap) => `${tap.reference}: ${tap.n.toLocaleString("en")} of ${tap.of.toLocaleString("en")} (${tap.said})`);
    page.replaceChildren(make("h1", {}, "Features"), bars, kinds, partial.length ? make("p", { class: "said" }, `Published are: ${partial.slice(0, 6).join("; ")}${partial.length > 6 ? "; …" : ""}.`) : "", below);
    draw();
    document.title = `Features · ${site.title}`;
  };

  // ------------------------------------------------------------------ a card
  const showCard = async (reference, text, query) => {
    const tap = site.taps.find((one) => one.reference === reference), unit = Number(text);
    if (!tap) return loupe.problem(page, `No tap called ${reference} was published here.`);
    const list = await listed(tap), at = list.data.units.indexOf(unit);
    if (at < 0 || !/^\d{1,9}$/.test(text)) return loupe.problem(page, `${tap.word} ${text} of ${reference} was not published here (${tap.said}).`);
    const cards = await loupe.load(`taps/${tap.slug}/cards-${Math.floor(at / site.cards)}`), asked = askedFrom(query);
    const order = ordered([list], asked), place = order.findIndex(([, i]) => i === at), to = (k) => (order[k] && place >= 0 ? loupe.feature(reference, list.data.units[order[k][1]], asksOf(asked)) : null);
    card = new Card(site, tap, list, cards[at % site.cards], { list: loupe.link("", ["list", reference], asksOf(asked)), before: to(place - 1), after: to(place + 1) });
    page.replaceChildren(card.box);
    card.retheme();
    document.title = `${card.card.title} · ${reference} · ${site.title}`;
    return undefined;
  };

  const route = async () => {
    const { parts: [kind, reference = "", unit = ""], query } = loupe.address();
    card = table = null;
    try {
      if (kind === "feature") await showCard(reference, unit, query);
      else await showList(kind === "list" ? reference : "", query);
    } catch (error) {
      loupe.problem(page, error);
    }
  };
  try {
    site = await loupe.load("site");
  } catch (error) {
    return loupe.problem(page, error);
  }
  loupe.onTheme(() => card?.retheme());
  window.addEventListener("hashchange", async () => {
    await route();
    document.getElementById("main").focus({ preventScroll: true });
    window.scrollTo(0, 0);
  });
  document.addEventListener("keydown", (e) => {
    if (!card || e.ctrlKey || e.metaKey || e.altKey || /INPUT|SELECT|TEXTAREA/.test(e.target.tagName)) return;
    const to = { j: card.around.after, k: card.around.before }[e.key];
    if (to) location.href = to;
  });
  return route();
})();
