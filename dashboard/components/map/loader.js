/* What travels with every change of a map: only this. The map's own code (some 110 kB) is an element of its own
 * (code.js), which Streamlit sends once; it leaves the function that mounts a map under CODE. */
export default function (component) {
  const code = (window.__loupeCode ??= { made: new Map(), waiting: new Set() }), root = component.parentElement;
  const mount = () => code.made.get(CODE)?.(root.__loupeWaits);
  root.__loupeWaits = component;
  if (!code.made.has(CODE)) {
    code.waiting.delete(root.__loupeWake);
    root.__loupeWake = () => root.__loupeWaits && mount() && code.waiting.delete(root.__loupeWake);
    code.waiting.add(root.__loupeWake);
  }
  mount();
  return () => {
    code.waiting.delete(root.__loupeWake);
    root.__loupeMap?.leave();
    root.__loupeWaits = root.__loupeWake = null;
  };
}
