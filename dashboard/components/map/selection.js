/* Which points are selected, and telling Python so: one bit a point, once per gesture. */
const PATIENCE_MS = 8000;

class Selection {
  constructor(map) {
    Object.assign(this, { map, flags: null, count: 0, how: "replace", stamp: 0 });
  }
  /* Whether `data` was made before Python heard of the last gesture: its selection is older than ours. */
  get ahead() {
    return (this.map.data.stamp ?? 0) < this.stamp && Date.now() - this.stamp < PATIENCE_MS;
  }
  /* What Python says, where it is not older than what was done here. */
  take() {
    const { data, columns } = this.map;
    if (this.ahead) return;
    const bits = columns.arrived("mask", data.mask?.key);
    if (bits) this.put(unpackBits(bits, data.n));
    else if (!data.mask && columns.keys.mask) (this.put(null), (columns.keys.mask = null));
  }
  /* Other points have come: a selection of another number of points is not theirs. */
  fresh() {
    const { data, columns, points } = this.map;
    if (this.flags && this.flags.length !== points.n && data.n === points.n) (this.put(null), (columns.keys.mask = null));
    this.map.marked();
  }
  put(flags) {
    this.count = flags ? countOf(flags) : 0;
    this.flags = this.count ? flags : null;
    if (!this.count) this.how = "replace";
    this.map.marked();
  }
  combine(how) {
    this.how = this.how === how ? "replace" : how;
    this.map.toolbar.draw();
    this.map.say();
  }
  /* A gesture has marked these points. */
  choose(flags, how = this.how) {
    const old = this.flags;
    if (old && how === "add") for (let i = 0; i < flags.length; i++) flags[i] |= old[i];
    if (how === "remove") flags = old ? flags.map((v, i) => old[i] & (1 - v)) : null;
    this.tell(flags);
  }
  toggle(row, how) {
    const flags = new Uint8Array(this.map.points.n);
    flags[row] = 1;
    this.choose(flags, how);
  }
  /* All that is shown and not selected. */
  invert() {
    const { points, allowed } = this.map, old = this.flags, flags = new Uint8Array(points.n);
    for (let i = 0; i < flags.length; i++) flags[i] = !(old && old[i]) && allowed(i) ? 1 : 0;
    this.tell(flags);
  }
  clear() {
    if (this.count) this.tell(null);
  }
  tell(flags) {
    this.follow(flags, Date.now());
    this.map.links.selected(this.flags, this.stamp);
    this.map.send("select", { mask: this.count ? packBits(this.flags) : "", n: this.map.points.n, count: this.count, stamp: this.stamp });
  }
  /* Another map of the same rows has told Python already. */
  follow(flags, stamp) {
    this.put(flags);
    this.map.columns.keys.mask = this.count ? "own" : null; // Python's answer has another key and replaces it
    this.stamp = stamp;
  }
}
