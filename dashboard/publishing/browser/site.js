/* What all pages share: data as scripts (nothing else can be loaded by a page that was opened by a double click), the
 * theme, and small helpers. Text is always set as text, never as HTML. */
"use strict";

const loupe = (() => {
  const arrived = new Map(), waiting = new Map(), parts = {};
  const settle = (name, promise) => {
    arrived.set(name, promise);
    waiting.get(name)?.resolve(promise);
  };
  const bytes = (base64) => Uint8Array.from(atob(base64), (c) => c.charCodeAt(0));
  const inflated = async (base64) => {
    if (typeof DecompressionStream === "undefined") throw new Error("This browser is too old to unpack the data: use one of 2023 or later.");
    const stream = new Blob([bytes(base64)]).stream().pipeThrough(new DecompressionStream("deflate-raw"));
    return JSON.parse(await new Response(stream).text());
  };

  /* Called by the data files. */
  const put = (name, value) => settle(name, Promise.resolve(value));
  const unzip = (name, base64) => settle(name, inflated(base64));

  /* The value of a data file, loaded once. Names are made by whoever wrote the bundle; nothing else is asked for. */
  const load = (name) => {
    if (arrived.has(name)) return arrived.get(name);
    if (waiting.has(name)) return waiting.get(name).promise;
    const entry = {};
    entry.promise = new Promise((resolve, reject) => Object.assign(entry, { resolve, reject }));
    waiting.set(name, entry);
    if (!/^[\w-]+(\/[\w-]+)*$/.test(name)) entry.reject(new Error("There is no such data."));
    const tag = make("script", { src: `data/${name}.js` });
    tag.onerror = () => {
      waiting.delete(name);
      entry.reject(new Error(`The file data/${name}.js is missing or cannot be read. Is the whole folder here?`));
    };
    tag.onload = () => arrived.has(name) || entry.reject(new Error(`The file data/${name}.js is not what it should be.`));
    document.head.append(tag);
    return entry.promise;
  };

  /* A component of the dashboard in a shadow root of its own, drawn again in the same place by a further call. */
  const styled = (given, css, draw) => {
    const { host } = given, root = host.shadowRoot ?? host.attachShadow({ mode: "open" });
    if (!root.querySelector("style")) root.append(make("style", {}, css));
    return draw({ data: given.data, parentElement: root, setTriggerValue: given.tell ?? (() => {}) });
  };

  /* Columns on their shelf, from where the map and the heat map take them (buffer.js). */
  const shelf = (window.__loupeBuffers = { held: new Map(), users: new Map(), waiting: new Set() });
  const column = (key, data) => {
    shelf.held.set(key, data);
    for (const wake of [...shelf.waiting]) wake();
    return key;
  };

  // ------------------------------------------------------------------ theme
  const asked = window.matchMedia("(prefers-color-scheme: dark)"), changed = new Set();
  const chosen = () => {
    try { return localStorage.getItem("loupe theme"); } catch { return null; }
  };
  const theme = () => document.documentElement.dataset.theme ?? (asked.matches ? "dark" : "light");
  const told = () => {
    const button = document.getElementById("theme");
    if (button) button.textContent = theme() === "dark" ? "Light theme" : "Dark theme";
    for (const work of changed) work(theme());
  };
  const use = (name) => {
    document.documentElement.dataset.theme = name;
    try { localStorage.setItem("loupe theme", name); } catch { /* a page of a file may not keep anything */ }
    told();
  };
  if (["light", "dark"].includes(chosen())) document.documentElement.dataset.theme = chosen();
  asked.addEventListener("change", told);
  document.addEventListener("DOMContentLoaded", () => {
    const button = document.getElementById("theme");
    button.hidden = false;
    button.onclick = () => use(theme() === "dark" ? "light" : "dark");
    told();
  });

  // ------------------------------------------------------------------ the address: #/kind/STORE:TAP/more?name=value
  const address = () => {
    const [path, query = ""] = decodeURI_(location.hash.replace(/^#\/?/, "")).split("?");
    const raw = location.hash.replace(/^#\/?/, "").split("?");
    return { parts: (raw[0] || "").split("/").map(decode), query: new URLSearchParams(raw[1] ?? query), path };
  };
  const decode = (text) => {
    try { return decodeURIComponent(text); } catch { return text; }
  };
  const decodeURI_ = (text) => {
    try { return decodeURI(text); } catch { return text; }
  };
  const word = (text) => encodeURIComponent(text).replace(/%3A/gi, ":").replace(/%40/g, "@");
  const link = (page, parts_, query = {}) => {
    const asks = new URLSearchParams(Object.entries(query).filter(([, v]) => v !== "" && v !== null && v !== undefined && v !== false));
    const said = asks.toString();
    return `${page}#/${parts_.map(word).join("/")}${said ? `?${said}` : ""}`;
  };
  /* Change the address without a step in the history. */
  const restate = (hash) => {
    try { history.replaceState(null, "", hash); } catch { /* some browsers refuse it for files: the page works on */ }
  };

  const feature = (reference, unit, query) => link("features.html", ["feature", reference, String(unit)], query);
  /* Whether the card of a unit is here. */
  const published = (tap, unit) => Boolean(tap) && (tap.units === null || tap.units.includes(unit));
  const problem = (box, error) => box.replaceChildren(make("p", { class: "notice", role: "alert" }, String(error?.message ?? error)));
  const count = (n, one, many) => `${n.toLocaleString("en")} ${n === 1 ? one : many ?? `${one}s`}`;
  const number = (v) => {
    if (v === null || !Number.isFinite(v)) return "";
    const size = Math.abs(v);
    if (Number.isInteger(v) && size < 1e9) return v.toLocaleString("en").replace("-", "−");
    return (size >= 1000 && size < 1e9 ? Math.round(v).toLocaleString("en") : String(Number(v.toPrecision(3)))).replace("-", "−");
  };
  const onTheme = (work) => changed.add(work);
  return { put, unzip, load, parts, styled, column, shelf, bytes, theme, onTheme, address, link, restate, feature, published, problem, count, number };
})();

/* A small DOM builder. */
function make(tag, attributes = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) node[name] = value;
    else if (value === true) node.setAttribute(name, "");
    else if (value !== null && value !== undefined && value !== false) node.setAttribute(name, value);
  }
  node.append(...children.flat().filter((child) => child !== null && child !== undefined && child !== false));
  return node;
}
function labelled(text, control, kind = "") {
  return make("label", { class: kind }, make("span", {}, text), control);
}
function choice(options, value, work) {
  const select = make("select", { onchange: () => work(select.value) }, options.map(([id, name]) => make("option", { value: id }, name)));
  select.value = value;
  return select;
}
