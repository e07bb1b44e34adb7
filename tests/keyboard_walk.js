// What keyboard_walk.py runs in the page: the controls that are there, where the focus is, how it looks.
() => {
  const TAGS = 'button, a[href], input:not([type=hidden]), select, textarea, summary, [tabindex], [contenteditable=true]';
  const ROLES = ['button', 'link', 'checkbox', 'switch', 'radio', 'slider', 'tab', 'combobox', 'textbox', 'spinbutton',
                 'menuitem', 'application'].map(r => `[role=${r}]`).join(', ');
  const GROUPS = '[role=radiogroup], [role=tablist], [role=toolbar], [role=grid], [role=listbox]';
  const BOXES = '[data-testid=stSelectbox], [data-testid=stMultiSelect], [data-testid=stNumberInput]';  // one stop each
  const up = e => e.parentElement || (e.getRootNode() instanceof ShadowRoot ? e.getRootNode().host : null);
  const ups = e => { const found = []; for (let n = e; n; n = up(n)) found.push(n); return found; };
  const closest = (e, selector) => ups(e).find(n => n.matches(selector));
  const deep = (root, selector) => [...root.querySelectorAll('*')].flatMap(e =>
    [...(e.matches(selector) ? [e] : []), ...(e.shadowRoot ? deep(e.shadowRoot, selector) : [])]);
  const seen = e => {
    const box = e.getBoundingClientRect(), look = getComputedStyle(e);
    if (!box.width || !box.height || look.visibility == 'hidden' || closest(e, '[aria-hidden=true], [inert]')) return false;
    return ups(e).every(n => getComputedStyle(n).display != 'none');
  };
  const clear = colour => colour == 'transparent' || /^rgba\(.*,\s*0\)$|\/\s*0\)$/.test(colour);
  // Outline, shadow, border, background, underline and opacity of what lies around the focus: "" where none is drawn.
  const style = e => ups(e).slice(0, 7).flatMap(n => [null, '::before', '::after'].map(part => {
    const s = getComputedStyle(n, part);
    const sides = ['Top', 'Right', 'Bottom', 'Left'].map(side => [s[`border${side}Style`], s[`border${side}Width`], s[`border${side}Color`]])
      .filter(([kind, width, colour]) => kind != 'none' && parseFloat(width) > 0 && !clear(colour)).join();
    return [s.outlineStyle == 'none' || !parseFloat(s.outlineWidth) || clear(s.outlineColor) ? '' : s.outlineStyle + s.outlineWidth + s.outlineColor,
            s.boxShadow == 'none' ? '' : s.boxShadow, sides, clear(s.backgroundColor) ? '' : s.backgroundColor,
            s.textDecorationLine == 'none' ? '' : s.textDecoration, s.opacity];
  }));
  // What shows the focus is drawn: something that is taken away from a control does not.
  const ringed = (e, before) => style(e).some((now, i) => !before[i] || now.some((look, k) => look && look != before[i][k]));
  const text = e => (e.innerText ?? e.textContent ?? '').trim();
  const byId = (e, ids) => ids.split(/\s+/).map(id => e.getRootNode().getElementById?.(id))
    .map(n => n?.getAttribute('aria-label') || (n ? text(n) : ''))
    .join(' ').trim();
  const name = e => (e.getAttribute('aria-labelledby') && byId(e, e.getAttribute('aria-labelledby')))
    || e.getAttribute('aria-label') || [...(e.labels ?? [])].map(text).join(' ').trim() || text(e)
    || (e.matches('canvas:has([role=grid])') && closest(e, '[role=region][aria-label]')?.getAttribute('aria-label'))
    || [...e.querySelectorAll('img[alt], svg[aria-label], [title]')].map(n => n.getAttribute('alt') || n.getAttribute('aria-label')
       || n.getAttribute('title')).join(' ').trim() || e.getAttribute('title') || e.getAttribute('placeholder') || '';
  // A picture that a font draws from a word ("close") does not say what the button does.
  const named = e => { const icons = [...e.querySelectorAll('[data-testid=stIconMaterial], [translate=no][role=img]')].map(text);
    return name(e).split(/\s+/).some(word => word && !icons.includes(word)); };
  const tells = e => `${e.tagName.toLowerCase()}${e.getAttribute('role') ? '[' + e.getAttribute('role') + ']' : ''}`
    + `.${closest(e, '[data-testid]')?.dataset.testid ?? ''} “${name(e).slice(0, 60)}”`;
  const active = () => { let e = document.activeElement; while (e?.shadowRoot?.activeElement) e = e.shadowRoot.activeElement; return e; };
  const walk = window.walk = { tells, all: [], by: new Map(), start: new Map(), others: 0 };
  walk.collect = within => {
    const root = within ? document.querySelector(within) : document.body;
    const found = [...new Set([...deep(root, TAGS), ...deep(root, ROLES)])].filter(e => seen(e)
      && !e.disabled && e.getAttribute('aria-disabled') != 'true' && !(e.tabIndex < 0 && !e.matches(ROLES + ', button, input, a[href]'))
      && !e.querySelector('button, input, a[href]') | e.matches('button, a[href], canvas, summary'));
    walk.all = found.map(e => ({ e, group: closest(up(e) ?? e, GROUPS) || (e.tabIndex < 0 && closest(e, BOXES)) || (e.type == 'radio' ? e.name : null) }));
    found.forEach((e, i) => { walk.by.set(e, i); walk.start.set(e, style(e)); });
    return walk.all.map(({ e, group }) => ({ tells: tells(e), named: named(e), grouped: group != null,
      group: group == null ? -1 : walk.all.findIndex(o => o.group === group || group.contains?.(o.e) && o.e.tabIndex >= 0),
      stop: e.tabIndex >= 0, floats: closest(e, '[data-testid=stPopoverBody]') != null }));
  };
  walk.here = () => {
    const e = active();
    if (!e || e === document.body) return null;
    if (!walk.by.has(e)) walk.by.set(e, -1 - walk.others++);  // what can be scrolled, and what opened since: each itself
    const at = walk.by.get(e);
    const box = (closest(e, 'canvas') ?? e).getBoundingClientRect();  // the cells of a table that is drawn
    return { at, tells: tells(e), named: at < 0 || named(e), ringed: at < 0 || ringed(e, walk.start.get(e)),
             inside: box.bottom > 0 && box.right > 0 && box.top < innerHeight && box.left < innerWidth };
  };
  walk.left = () => !document.hasFocus();  // the focus is on the browser's own controls, no longer in the page
  walk.still = i => { const { e } = walk.all[i]; return e.isConnected && seen(e) && !e.disabled; };
  walk.calm = () => { const s = document.createElement('style'); document.head.append(s);  // looks are read at once
    s.textContent = '* { transition: none !important; animation: none !important }'; };
  walk.leave = () => { active()?.blur?.(); document.body.tabIndex = -1; document.body.focus(); document.body.removeAttribute('tabindex'); };
}
