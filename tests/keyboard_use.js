// What keyboard_use.py asks of the page, after keyboard_walk.js: one control by its name, and all that a person could see change.
() => {
  const up = e => e.parentElement || (e.getRootNode() instanceof ShadowRoot ? e.getRootNode().host : null);
  const ups = e => { const found = []; for (let n = e; n; n = up(n)) found.push(n); return found; };
  const near = (e, selector) => ups(e).find(n => n.matches(selector));
  const active = () => { let e = document.activeElement; while (e?.shadowRoot?.activeElement) e = e.shadowRoot.activeElement; return e; };
  const kindOf = e => {
    const role = e.getAttribute('role'), type = e.type;
    if (e.getAttribute('aria-label')?.startsWith('Help')) return 'help';
    if (near(e, '[data-testid=stDataFrame]') && (e.matches('canvas') || role == 'grid' || near(e, 'canvas'))) return 'table';
    if (e.matches('canvas')) return 'picture';
    if (near(e, '[data-testid=stMultiSelect]')) return e.matches('input') ? 'many' : 'button';
    if (near(e, '[data-testid=stSelectbox]') && e.matches('input, [role=combobox]')) return 'choice';
    if (near(e, '[data-testid=stFileUploader]') && e.matches('button, section, input, [role=button]')) return 'upload';
    if (near(e, '[data-testid=stDownloadButton]')) return 'download';
    if (near(e, '[data-testid=stPopover]') && !near(e, '[data-testid=stPopoverBody]')) return 'popover';
    if (e.matches('summary')) return 'expander';
    if (type == 'checkbox' || role == 'checkbox' || role == 'switch') return 'checkbox';
    if (type == 'range' || role == 'slider') return 'slider';
    if (role == 'tab') return 'tabs';
    if (type == 'radio' || role == 'radio') return 'radio';
    if (e.matches('select')) return 'select';
    if (type == 'number' || role == 'spinbutton') return 'number';
    if (e.matches('textarea')) return 'text area';
    if (e.matches('input')) return 'text';
    if (e.matches('a[href]')) return 'link';
    if (e.matches('button') || role == 'button') return 'button';
    return 'other';
  };
  const use = window.use = {};
  use.list = () => {
    const times = new Map();
    walk.collect('');
    return use.all = walk.all.map(({ e, group }) => {
      const tells = walk.tells(e), nth = times.get(tells) ?? 0;
      times.set(tells, nth + 1);
      return { e, key: `${tells}#${nth}`, kind: kindOf(e), stop: e.tabIndex >= 0, native: e.matches('button, a, input, select, textarea, summary'),
               grouped: group != null, pressed: e.getAttribute('aria-pressed') == 'true', current: e.getAttribute('aria-current') != null, floats: near(e, '[data-testid=stPopoverBody]') != null, opened: near(e, '[data-testid=stExpanderDetails]') != null,
               side: near(e, '[data-testid=stSidebar], header') != null };
    });
  };
  use.controls = () => use.list().map(({ e, ...told }) => told);
  use.focus = key => { const found = use.list().find(c => c.key == key); found?.e.focus(); found?.e.scrollIntoView({ block: 'nearest' }); use.held = found?.e; use.key = key; return found != null && active() === found.e; };
  use.holds = () => active() === use.held || use.held?.contains(active())
    || (!use.held?.isConnected && use.list().some(c => c.e === active() && c.key == use.key));  // drawn anew meanwhile
  use.where = () => { const e = active(); return e && e !== document.body ? walk.tells(e) : ''; };
  use.tip = () => [...document.querySelectorAll('[role=tooltip], [data-testid=stTooltipContent]')].map(e => e.innerText.trim()).filter(t => t);
  use.gone = () => use.held != null && !use.all.some(c => c.e.isConnected && c.key == use.key) && !use.list().some(c => c.key == use.key);
  const pixels = e => { try { const s = document.createElement('canvas'); s.width = 96; s.height = 64; s.getContext('2d').drawImage(e, 0, 0, 96, 64); return s.toDataURL(); } catch { return ''; } };
  const STATES = ['expanded', 'checked', 'pressed', 'selected', 'valuenow', 'valuetext', 'current', 'activedescendant', 'label', 'hidden'];
  use.seen = () => {
    const lines = [location.href, String(document.fullscreenElement?.tagName)];
    const look = root => {
      for (const e of root.querySelectorAll('*')) {
        const told = STATES.map(s => e.getAttribute(`aria-${s}`)).filter(v => v != null).join();
        const own = e.matches('input, textarea, select') ? `${e.type == 'file' ? '' : e.value}/${e.checked}` : e.matches('details') ? e.open : e.matches('img, iframe') ? e.src : e.matches('canvas') ? pixels(e)
          : e.matches('[role=tab], [role=radio], [role=option]') ? e.innerText : '';  // which of them it is that is chosen
        const text = [...e.childNodes].filter(n => n.nodeType == 3).map(n => n.data.trim()).join('');
        if ((told || own || text) && !e.matches('style, script, [data-testid=stStatusWidget] *')) lines.push(`${e.tagName} ${told} ${own} ${text}`);
        if (e.shadowRoot) look(e.shadowRoot);
      }
    };
    look(document.body);
    return lines;
  };
  use.before = () => { use.was = use.seen(); };
  use.changed = () => { const was = new Map(), now = use.seen(); for (const l of use.was) was.set(l, (was.get(l) ?? 0) + 1);
    const fresh = now.filter(l => { const n = was.get(l) ?? 0; was.set(l, n - 1); return n < 1; });
    const lost = [...was].filter(([, n]) => n > 0).map(([l]) => '−' + l);
    return [...fresh, ...lost].map(l => l.slice(0, 140)); };
}
