/* The card beside the pointer. Small stores send all cards once (`CardPack`), so hovering costs no round trip;
 * otherwise the row index is sent up and Python sends that one card down. */

/* Layout of a pack: uint32 length of the header, header (JSON), then the PNG bytes of all thumbnails.
 * header: titles [s], images [[start, end] | null], texts [[token, …] | null], facts [[name, [value of s]]],
 * grid, leading. */
class CardPack {
  constructor(bytes) {
    const length = new DataView(bytes.buffer, bytes.byteOffset, 4).getUint32(0, true);
    this.header = JSON.parse(new TextDecoder().decode(bytes.subarray(4, 4 + length)));
    this.blobs = bytes.subarray(4 + length);
    this.urls = new Map();
  }
  card(sample, token) {
    const h = this.header, pooled = token < 0;
    return {
      title: h.titles?.[sample] ?? `sample ${sample}`,
      image: this.image(sample),
      tokens: h.texts?.[sample] ?? null,
      marked: pooled ? -1 : token,
      box: pooled || !h.grid ? null : patchBox(token, h.grid, h.leading),
      lines: (h.facts ?? []).filter(([, values]) => values[sample]).map(([name, values]) => `${name}: ${values[sample]}`),
    };
  }
  image(sample) {
    const span = this.header.images?.[sample];
    if (!span) return null;
    if (!this.urls.has(sample)) {
      if (this.urls.size > 200) this.forget();
      const blob = new Blob([this.blobs.subarray(...span)], { type: "image/png" });
      this.urls.set(sample, URL.createObjectURL(blob));
    }
    return this.urls.get(sample);
  }
  forget() {
    for (const url of this.urls.values()) URL.revokeObjectURL(url);
    this.urls.clear();
  }
}

/* Where a token sits on its image, as fractions [x, y, width, height]; null for leading tokens. */
const patchBox = (token, [height, width], leading) => {
  const k = token - (leading ?? 0);
  if (k < 0 || k >= height * width) return null;
  return [(k % width) / width, Math.floor(k / width) / height, 1 / width, 1 / height];
};

/* Up to 12 tokens either side of the marked one (or the first 30), as spans; text stays text. */
const tokenWindow = (tokens, marked) => {
  const from = marked < 0 ? 0 : Math.max(0, marked - 12), to = marked < 0 ? 30 : marked + 13;
  const line = make("div", { class: "tokens" }, from > 0 ? "… " : "");
  tokens.slice(from, to).forEach((token, k) =>
    line.append(from + k === marked ? make("mark", {}, token) : make("span", {}, token)));
  if (tokens.length > to) line.append(" …");
  return line;
};

const drawCard = (box, card) => {
  box.replaceChildren();
  if (card.image) {
    const frame = make("div", { class: "picture" }, make("img", { src: card.image, alt: "" }));
    if (card.box) {
      const [x, y, w, h] = card.box.map((v) => `${100 * v}%`);
      frame.append(make("div", { class: "patch", style: `left:${x};top:${y};width:${w};height:${h}` }));
    }
    box.append(frame);
  }
  if (card.tokens) box.append(tokenWindow(card.tokens, card.marked ?? -1));
  box.append(make("div", { class: "name" }, card.title));
  for (const line of card.lines ?? []) box.append(make("div", { class: "line" }, line));
};
