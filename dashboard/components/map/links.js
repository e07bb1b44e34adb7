/* Maps on one page that belong together (`link`): the pointer's ring, and with `linkView` the view, go from one to
 * the others; a selection too where both show the same rows. */
class Links {
  constructor(map) {
    this.map = map;
    this.all = window.__loupeMaps ??= new Set();
    this.all.add(map);
  }
  get others() {
    const { link } = this.map.data;
    return link ? [...this.all].filter((other) => other !== this.map && other.data.link === link) : [];
  }
  get alike() {
    const { rows } = this.map.data;
    return this.others.filter((other) => rows && other.data.rows === rows && other.points.n === this.map.points.n);
  }
  hovered(row) {
    for (const other of this.alike) {
      if (other.echo === row) continue;
      other.echo = row;
      other.redraw();
    }
  }
  selected(flags, stamp) {
    for (const other of this.alike) other.selection.follow(flags, stamp);
  }
  moved() {
    if (!this.map.data.linkView) return;
    for (const other of this.others) {
      if (!other.data.linkView || other.points.dims !== this.map.points.dims || !other.points.n) continue;
      other.view.relative = this.map.view.relative;
      other.drawing.stir();
    }
  }
  leave() {
    this.all.delete(this.map);
  }
}
