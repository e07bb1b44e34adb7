/* Examples of a unit: one tile per sample with what makes it fire.
 *
 * In (`data`): tiles [{sample, title, value, where, facts,
 *                image (data URL), box [x, y, w, h] in fractions, heat {grid [h, w], values base64 bytes},
 *                tokens [text], shades base64 bytes | null, marked, cut [bool, bool], table [[name, text]]}]
 *              groups [{name, tiles, more}]: instead of tiles, each under its name, `more` of them not sent (tile.row is sent back)
 *              wide: one tile per line (text).  leads: a tile is a button.  shade: hex colour of the strongest activation.
 * Out (trigger): open {sample, row} when a tile is clicked.
 */
const heatCanvas = ({ grid: [height, width], values }, shade) => {
  const canvas = make("canvas", { width, height, class: "heat", "aria-hidden": "true" });
  const c = canvas.getContext("2d"), image = c.createImageData(width, height), v = bytesOf(values);
  const rgb = [1, 3, 5].map((k) => parseInt(shade.slice(k, k + 2), 16));
  for (let i = 0; i < width * height; i++) image.data.set([...rgb, Math.round((v[i] ?? 0) * 0.72)], 4 * i);
  c.putImageData(image, 0, 0);
  return canvas;
};

const picture = (tile, shade) => {
  const frame = make("div", { class: "picture" }, make("img", { src: tile.image, alt: `sample ${tile.title}` }));
  if (tile.heat) frame.append(heatCanvas(tile.heat, shade));
  if (tile.box) {
    const [x, y, w, h] = tile.box.map((v) => `${100 * v}%`);
    frame.append(make("div", { class: "patch", style: `left:${x};top:${y};width:${w};height:${h}` }));
  }
  return frame;
};

/* Tokens shaded by activation (`shades`), the strongest one outlined. */
const tokenStrip = (tile, shade) => {
  const v = tile.shades ? bytesOf(tile.shades) : null, line = make("div", { class: "tokens" });
  if (tile.cut?.[0]) line.append("… ");
  tile.tokens.forEach((token, k) => {
    const part = v ? Math.round((v[k] / 255) * 78) : 0;
    const style = part ? `background:color-mix(in srgb, ${shade} ${part}%, transparent)` : null;
    const title = v ? `${Math.round((100 * v[k]) / 255)} % of the strongest token here` : null;
    line.append(make("span", { style, title, class: k === tile.marked ? "marked" : null }, token.replace(/\n/g, "↵\n")));
  });
  if (tile.cut?.[1]) line.append(" …");
  return line;
};

const rows = (table) =>
  make("table", {}, ...table.map(([name, text]) => make("tr", {}, make("th", {}, name), make("td", {}, text))));

const tileOf = (tile, shade, open) => {
  const parts = [
    tile.image ? picture(tile, shade) : null,
    tile.tokens ? tokenStrip(tile, shade) : null,
    make("div", { class: "words" },
      tile.table ? rows(tile.table) : null,
      make("div", { class: "value" }, tile.value, tile.where ? make("span", { class: "where" }, ` ${tile.where}`) : null),
      tile.table ? null : make("div", { class: "facts" }, tile.facts || tile.title)),
  ];
  if (!open) return make("div", { class: tile.tokens ? "tile" : "tile beside" }, ...parts);
  return make("button", { type: "button", class: "tile", title: "Show this sample on the map", onclick: () => open(tile) }, ...parts);
};

const groupOf = ({ name, tiles, more }, grid) =>
  make("section", { class: "group" },
    make("div", { class: "name" }, name, more ? make("span", { class: "where" }, ` and ${more} more`) : null),
    grid(tiles, "tiles small"));

export default function ({ data, parentElement, setTriggerValue }) {
  const open = data.leads ? ({ sample, row }) => setTriggerValue("open", { sample, row: row ?? null }) : null;
  const grid = (tiles, kind) => make("div", { class: `${kind}${data.wide ? " wide" : ""}` }, ...tiles.map((t) => tileOf(t, data.shade, open)));
  const box = data.groups
    ? make("div", { class: "tile-box" }, ...data.groups.map((group) => groupOf(group, grid)))
    : grid(data.tiles, "tiles tile-box");
  parentElement.querySelector(".tile-box")?.remove();
  parentElement.append(box);
  return () => box.remove();
}
