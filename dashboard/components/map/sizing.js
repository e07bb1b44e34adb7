/* How large the picture is, and what of it is covered by the tools, the legend and the words below. */
class Sizing {
  constructor(map) {
    this.map = map;
  }
  resize() {
    const { map } = this, { view, frame } = map, width = Math.max(frame.clientWidth, 1), height = Math.max(frame.clientHeight, 1);
    const ratio = Math.min(window.devicePixelRatio || 1, 2), before = view.zoom, home = view.atHome;
    if (width === view.width && height === view.height && map.canvas.width === Math.round(width * ratio)) return;
    const placed = map.points.n && view.width > 1, unseen = map.points.n && view.width === 1, box = map.data.view?.box;
    Object.assign(view, { width, height });
    view.room = this.room; // the legend folds on a narrow map: after the width
    if (unseen && box) view.fit(box);
    else if (unseen || (placed && home)) view.goHome(); // placed before the page gave the frame a size, as in a hidden tab
    else if (placed && Number.isFinite(before)) view.scale *= before / view.zoom;
    for (const canvas of [map.canvas, map.under]) [canvas.width, canvas.height] = [Math.round(width * ratio), Math.round(height * ratio)];
    map.legend.draw(); // it folds where there is little room
    map.toolbar.draw();
    map.redraw();
  }
  /* [top, right, bottom, left] in pixels (view.js). */
  get room() {
    const { data, legend, scrubber } = this.map, names = data.axes ? 18 : 0;
    return data.compact ? [0, 0, 0, 0] : [44, legend.open ? LEGEND_WIDE : 0, names + (scrubber.box.hidden ? 30 : 64), names];
  }
  /* What is covered has changed: a map that shows everything still does. */
  make() {
    const { map, room } = this, { view } = map, home = view.atHome;
    if (room.join() === view.room.join()) return;
    view.room = room;
    if (!home || !map.points.n) return;
    view.goHome();
    map.redraw();
  }
}
