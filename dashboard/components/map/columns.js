/* Taking over the columns that have arrived (buffer.js): each once, when its key is new. */
class Columns {
  constructor(map) {
    Object.assign(this, { map, keys: {}, awaits: false });
    this.shelf = window.__loupeBuffers ??= { held: new Map(), users: new Map(), waiting: new Set() };
    this.wake = () => this.awaits && map.take(); // columns of other maps are no reason to draw
    this.shelf.waiting.add(this.wake);
  }
  /* The bytes of a column that is new and there; otherwise null. */
  arrived(name, key) {
    if (!key || this.keys[name] === key) return null;
    if (!this.shelf.held.has(key)) return (this.awaits = true), null;
    this.keys[name] = key;
    return this.shelf.held.get(key);
  }
  floats(name, key) {
    const bytes = this.arrived(name, key);
    return bytes && new Float32Array(bytes.buffer);
  }
  integers(name, key) {
    const bytes = this.arrived(name, key);
    return bytes && new Int32Array(bytes.buffer);
  }
  /* Positions, as float32 whatever they travelled as. */
  positions(name, key) {
    const bytes = this.arrived(name, key), { grid, dims = 2 } = this.map.data;
    return bytes && (grid ? fromGrid(new Uint16Array(bytes.buffer), grid, dims) : new Float32Array(bytes.buffer));
  }
  leave() {
    this.shelf.waiting.delete(this.wake);
  }
}

/* Edges as groups of one colour: lines share their points' buffer, so a value cannot ride along with each end. */
const EDGE_COLOURS = 32;
const edgeGroups = (given, pairs, values, finite, ink) => {
  const there = [], groups = Array.from({ length: values ? EDGE_COLOURS : 1 }, () => []);
  for (let k = 0; k < pairs.length / 2; k++) if (finite(pairs[2 * k]) && finite(pairs[2 * k + 1])) there.push(k);
  const table = values && rampOf(given.stops), width = values && Math.max(given.high - given.low, 1e-30);
  for (const k of there) {
    const at = values ? Math.round(((values[k] - given.low) / width) * (EDGE_COLOURS - 1)) : 0;
    groups[Math.min(groups.length - 1, Math.max(0, at || 0))].push(pairs[2 * k], pairs[2 * k + 1]);
  }
  return groups.map((ends, g) => {
    const at = 4 * Math.round((g * (RAMP - 1)) / Math.max(1, EDGE_COLOURS - 1));
    return { pairs: Uint32Array.from(ends), ink: values ? [...table.subarray(at, at + 3)].map((v) => v / 255).concat(0.8) : ink };
  }).filter(({ pairs: ends }) => ends.length);
};
