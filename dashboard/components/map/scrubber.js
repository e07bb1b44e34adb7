/* Moving the points along a series of placings (checkpoints, layers, perplexities). Between two steps the card mixes
 * their positions; nothing but a whole step is ever left standing or told to Python. */
const STEP_MS = 900, TOLD_MS = 400;

class Scrubber {
  constructor(map) {
    this.map = map;
    this.slider = make("input", { type: "range", min: 0, max: 1, step: "any", "aria-label": "Step of the series",
      oninput: () => this.to(Number(this.slider.value)), onchange: () => this.rest() });
    this.button = make("button", { type: "button", title: "Play or pause", onclick: () => (this.playing ? this.rest() : this.play()) }, "Play");
    this.name = make("output", { class: "step" });
    this.box = make("div", { class: "scrubber", hidden: "" }, this.button, this.slider, this.name);
    this.slider.onkeydown = (e) => {
      const by = { ArrowLeft: -1, ArrowDown: -1, ArrowRight: 1, ArrowUp: 1 }[e.key];
      if (by) (e.preventDefault(), this.by(by));
    };
  }
  get last() {
    return (this.map.data.series?.keys.length ?? 1) - 1;
  }
  /* Python asks for a step: glide there. */
  take(first) {
    const asked = this.map.data.series?.step ?? null;
    if (!first && asked !== null && asked !== this.asked && asked !== this.told) this.glide((this.told = asked));
    this.asked = asked;
  }
  draw() {
    const { series, compact } = this.map.data, { t } = this.map.points;
    this.box.hidden = !series || compact || this.last < 1;
    if (this.box.hidden) return;
    this.slider.max = this.last;
    this.slider.value = t;
    const said = series.names?.[Math.round(t)] ?? `step ${Math.round(t) + 1}`;
    this.name.textContent = Number.isInteger(t) ? `${said}${series.note ? ` · ${series.note}` : ""}` : `on the way to ${series.names?.[Math.ceil(t)] ?? `step ${Math.ceil(t) + 1}`}`;
    this.name.title = this.name.textContent;
    this.slider.setAttribute("aria-valuetext", said);
    this.button.textContent = this.playing ? "Pause" : "Play";
  }
  to(t) {
    const { map } = this;
    map.points.t = Math.min(Math.max(t, 0), this.last);
    this.draw();
    map.card.hidden = true;
    map.drawing.stir();
  }
  by(steps) {
    if (this.last < 1) return;
    this.glide(Math.round(this.map.points.t) + steps);
  }
  play() {
    this.glide(this.last, Number(this.map.points.t) >= this.last ? 0 : this.map.points.t, true);
  }
  rest() {
    this.glide(Math.round(this.map.points.t));
  }
  /* Go to a whole step, and tell Python once there. At once for whoever asked for less motion. */
  glide(target, from = this.map.points.t, playing = false) {
    const still = matchMedia("(prefers-reduced-motion: reduce)").matches;
    target = Math.min(Math.max(target, 0), this.last);
    cancelAnimationFrame(this.frame);
    this.playing = playing;
    const began = performance.now(), long = STEP_MS * Math.abs(target - from) * (playing ? 1 : 0.35);
    const go = (now) => {
      const part = long > 0 ? Math.min(1, Math.max(0, (now - began) / long)) : 1, t = from + (target - from) * part;
      if (part < 1) this.frame = requestAnimationFrame(go);
      else this.playing = false;
      this.to(part === 1 ? target : still ? Math.round(t) : t);
      if (part === 1) this.tell(target);
    };
    if (still && !playing) go(Infinity);
    else this.frame = requestAnimationFrame(go);
  }
  tell(step) {
    if (step === this.told) return;
    this.told = step;
    this.map.later("step", TOLD_MS, () => this.map.send("step", { step }));
  }
  stop() {
    cancelAnimationFrame(this.frame);
  }
}
