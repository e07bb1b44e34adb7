/* Tab goes from the button of an open popover into it, and from its last control on to what follows the button.
 *
 * Streamlit puts what a popover holds at the end of the document, behind every other control of the page. Here it has
 * the place in the order that it has on the screen. Whoever comes to it from the page's own end leaves it at that end,
 * so that no press of Tab leads in a circle. */
const BODY = "[data-testid=stPopoverBody]", BUTTON = "[data-testid=stPopoverButton][aria-expanded=true]";
const STOPS = "button, a[href], input:not([type=hidden]), select, textarea, summary, [tabindex], [contenteditable=true]";

const stopsIn = (root) => [...root.querySelectorAll("*")].flatMap((e) => [
  ...(e.matches(STOPS) && turns(e) && !e.disabled && seen(e) ? [e] : []), ...(e.shadowRoot ? stopsIn(e.shadowRoot) : []),
]).filter((e, _, all) => e.type !== "radio" || e.checked || !all.some((o) => o.name === e.name && o.checked));
/* What the focus has left is taken out of the order by the library that places popovers, which notes here what was. */
const turns = (e) => ("tabindex" in e.dataset ? e.dataset.tabindex !== "-1" : e.tabIndex >= 0);
const seen = (e) => e.checkVisibility({ visibilityProperty: true }) && !e.closest("[inert], [aria-hidden=true]");

/* The open popovers and their buttons, in pairs: a body is called by what its button says. */
const pairs = () => {
  const buttons = [...document.querySelectorAll(BUTTON)];
  return [...document.querySelectorAll(BODY)].map((body) => {
    const said = body.getAttribute("aria-label") ?? "", named = buttons.findIndex((b) => b.textContent.includes(said));
    return [buttons.splice(Math.max(named, 0), 1)[0], body];
  }).filter(([button]) => button);
};

const keepOrder = () => {
  let byButton = false; // whether the popover with the focus was come to by its button
  const onKey = (e) => {
    if (e.key !== "Tab" || e.ctrlKey || e.altKey || e.metaKey || e.defaultPrevented) return;
    const path = e.composedPath(), from = path[0];
    for (const [button, body] of pairs()) {
      const stops = stopsIn(body), into = !e.shiftKey && path.includes(button);
      if (into && stops.length) return enter(e, stops[0]);
      if (!path.includes(body) || !byButton) continue;
      if (e.shiftKey && from === stops[0]) return enter(e, button);
      if (!e.shiftKey && from === stops.at(-1)) return button.focus(); // from which the browser itself goes on
    }
    return undefined;
  };
  const enter = (e, stop) => {
    e.preventDefault();
    byButton = true;
    stop.focus();
  };
  const onFocus = (e) => { // out of the popover: however it is come to next decides anew
    if (!e.composedPath().some((n) => n.matches?.(BODY))) byButton = false;
  };
  document.addEventListener("keydown", onKey, true);
  document.addEventListener("focusin", onFocus, true);
  return () => {
    document.removeEventListener("keydown", onKey, true);
    document.removeEventListener("focusin", onFocus, true);
  };
};
