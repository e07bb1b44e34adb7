/* Whoever writes and saves goes on where she was: a control that is drawn anew under another key (a box that shows what
 * was just kept) is another element to the browser, which then has nothing in focus. The one that took its place is the
 * one of the same kind and name; it is waited for as long as a page may take, and not once somebody has moved on. A
 * button that is switched off while it works (a file is made) loses the focus too, and is given it back afterwards. */
const PATIENCE_MS = 6000;

const calledNow = (e) => e.getAttribute("aria-label") || [...(e.labels ?? [])].map((l) => l.textContent).join(" ") || e.textContent.trim();
/* The button that fills the screen with a table or a chart and the one that leaves again stand in for each other. */
const nameOf = (e) => calledNow(e).replace(/^(Fullscreen|Close fullscreen)(?=:|$)/, "Fullscreen");
const alike = ({ tagName, type }, name) => [...document.querySelectorAll(tagName)].filter((e) => e.type === type && nameOf(e) === name);

const keepFocus = () => {
  let last = null, until = 0; // what had the focus: the element, its name, which one of that name
  const note = ({ target: e }) => {
    last = null;
    until = 0;
    if (!e.matches?.("button, input, textarea, summary")) return;
    const name = nameOf(e);
    last = { e, name, nth: alike(e, name).indexOf(e) };
  };
  const moved = () => {
    if (last && (!last.e.isConnected || last.off)) last = null;
  };
  const look = () => {
    if (last?.e.isConnected && last.e.disabled) last.off = true;
    if (!last || (last.e.isConnected && !last.off) || document.activeElement !== document.body) return;
    if (last.e.isConnected) return last.e.disabled || last.e.focus({ preventScroll: true });
    until ||= performance.now() + PATIENCE_MS;
    if (performance.now() > until) last = null;
    const same = last ? alike(last.e, last.name) : [], found = same[last?.nth] ?? same[0];
    if (found && !found.disabled) found.focus({ preventScroll: true });
  };
  const watch = new MutationObserver(look), heard = [["focusin", note], ["keydown", moved], ["pointerdown", moved]];
  watch.observe(document.body, { childList: true, subtree: true, attributeFilter: ["disabled"] });
  for (const [kind, work] of heard) document.addEventListener(kind, work, true);
  return () => {
    watch.disconnect();
    for (const [kind, work] of heard) document.removeEventListener(kind, work, true);
  };
};

export default function () {
  const ends = [keepOrder(), keepFocus()];
  return () => ends.forEach((end) => end());
}
