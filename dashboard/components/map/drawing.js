/* When to draw and how much: one picture at a time, as many points as the machine can move smoothly while it moves,
 * and all of them as soon as it rests. */
const REST_MS = 160, SMOOTH_MS = 40, LEAST = 60000, LEAST_CELLS = 1000000, FIRST_GUESS = 250000, WATCH_MS = 6;

class Drawing {
  constructor(map) {
    Object.assign(this, { map, frame: null, moving: false, share: null });
  }
  /* All that a renderer needs to know beside the view. */
  scene(share) {
    const { points, view, data, mode, count, shows, renderer } = this.map, n = Math.max(points.n, 1), many = points.n > 20000;
    const size = Math.min(Math.max(Math.sqrt((view.width * view.height) / n) * 0.45, 1.6), 8) * Math.min(view.zoom, 12) ** 0.35;
    this.map.size = Math.max(1.5, size);
    const [plain, missing, dimmed] = (data.greys ?? ["#0072B2", "#9A9DA8", "#B9BCC4"]).map((hex) => hexToRgb(hex).map((v) => v / 255));
    const ground = (getComputedStyle(this.map.frame).backgroundColor.match(/[\d.]+/g) ?? [255, 255, 255]).slice(0, 3).map((v) => v / 255);
    const strong = points.n > 200000 ? 0.55 : many ? 0.75 : 0.92;
    return { share, size: this.map.size, cell: cellFor(points.n), ground, mode, chosen: count, between: points.between, edges: shows.edges,
      plain: [...plain, strong], missing: [...missing, strong], dimmed: [...dimmed, many ? 0.27 : 0.75],
      flat: renderer.countsByHand ? points.flat(view) : null };
  }
  /* Something moves: draw less until it rests. A whole picture that takes long is not begun between two steps. */
  stir() {
    this.moving = true;
    this.rest();
    this.soon();
  }
  rest() {
    this.map.later("rest", REST_MS + Math.min(REST_MS * 3, this.whole ?? 0), () => {
      if (this.map.pointer.holds) return this.rest();
      this.moving = false;
      return this.soon();
    });
  }
  soon() {
    this.frame ??= requestAnimationFrame(() => {
      this.frame = null;
      const { renderer } = this.map;
      if (!renderer) return;
      if (renderer.working()) this.soon();
      else this.now();
    });
  }
  /* See when the picture is done, and learn from how long it took. */
  watch() {
    this.map.later("watch", WATCH_MS, () => (this.map.renderer.working() ? this.watch() : this.adapt(this.map.renderer)));
  }
  adapt(renderer) {
    const { n } = this.map.points;
    if (!renderer.took) return;
    if (this.drawn === 1) this.whole = renderer.took;
    const drawn = this.drawn ?? 1, wanted = drawn * Math.min(1.6, Math.max(0.1, SMOOTH_MS / renderer.took));
    const least = renderer.onlyCells?.(this.scene(1)) ? LEAST_CELLS : LEAST; // fewer would hardly be sooner
    this.share = Math.min(1, Math.max(least / n, wanted));
    renderer.took = 0;
  }
  now() {
    const { map } = this, { renderer, points, frame } = map;
    const share = this.moving ? this.share ?? Math.min(1, FIRST_GUESS / points.n) : 1;
    this.drawn = share;
    renderer.draw(map.view, this.scene(share));
    if (renderer.fails) return map.intake.change(map.intake.plain());
    this.watch();
    map.overlay.draw();
    map.labels.draw();
    frame.dataset.drawn = String(points.n);
    frame.dataset.share = share.toFixed(3);
    if (share < 1 || this.part < 1) ((this.part = share), map.say());
    return this.moving ? undefined : this.settle();
  }
  /* At rest: what the legend says of the density, and the index for the pointer. */
  settle() {
    const { map } = this;
    map.finder.prepare(() => map.hoverAgain());
    if (map.mode === "points" || map.data.compact) return;
    map.later("densest", 250, () => {
      if (this.moving || this.frame !== null || !map.renderer) return;
      if (map.renderer.working()) return this.settle();
      map.densest = map.renderer.greatest();
      map.legend.draw();
    });
  }
  stop() {
    cancelAnimationFrame(this.frame);
  }
}
