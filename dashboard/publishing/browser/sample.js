/* One sample: what it is, and of which features it is a strong example. Used beside the map and over a card. */
"use strict";

const samples = {
  async read(site, store, sample) {
    const entries = await loupe.load(`samples/${store}/${Math.floor(sample / site.samples)}`);
    return entries[String(sample)] ?? null;
  },
  picture: (store, entry) => (entry?.image ? `pictures/${store}/${entry.image}` : null),

  /* A panel with all that is known; `more` stands below. */
  panel(site, store, sample, entry, more = []) {
    const box = make("div", { class: "panel" }, make("h2", {}, entry ? entry.title : `Sample ${sample}`));
    if (!entry) {
      box.append(make("p", { class: "muted" }, "This sample is not among those that were published."));
      return box;
    }
    const picture = samples.picture(store, entry);
    if (picture) box.append(make("img", { src: picture, alt: `Sample ${entry.title}` }));
    if (entry.facts) box.append(make("p", {}, entry.facts));
    if (entry.tokens) box.append(make("p", { class: "tokens", tabindex: 0 }, entry.tokens.join("") + (entry.cut?.[1] ? " …" : "")));
    if (entry.table?.length) box.append(make("dl", { class: "facts" }, entry.table.flatMap(([name, text]) => [make("dt", {}, name), make("dd", {}, text)])));
    box.append(samples.features(site, entry), ...more);
    return box;
  },
  features(site, entry) {
    if (!entry.strong?.length) return make("p", { class: "muted" }, "It is not among the strongest examples of any feature that is shown.");
    const lines = entry.strong.map(([tap, unit]) => {
      const about = site.taps[tap];
      return make("li", {}, make("a", { href: loupe.feature(about.reference, unit) }, `${about.word} ${unit}`), ` of ${about.reference}`);
    });
    const more = entry.more ? `, and ${entry.more.toLocaleString("en")} more` : "";
    return make("details", { open: lines.length <= 12 }, make("summary", {}, `Among the strongest examples of ${loupe.count(lines.length, "feature")}${more}`), make("ul", {}, lines));
  },

  /* Over the page; Escape and the button close it. */
  async open(site, store, sample) {
    const box = make("dialog", { "aria-label": "Sample" });
    const close = make("button", { type: "button", onclick: () => box.close() }, "Close");
    box.onclose = () => box.remove();
    document.body.append(box);
    try {
      const found = await samples.read(site, store, sample), map = site.maps.find((one) => one.store === store && one.of === "samples");
      const leads = map ? [make("p", {}, make("a", { href: loupe.link("map.html", [map.reference, map.method], { sample }) }, "Show it on the map"))] : [];
      box.append(samples.panel(site, store, sample, found, leads), close);
    } catch (error) {
      loupe.problem(box, error);
      box.append(close);
    }
    box.showModal();
  },
};
