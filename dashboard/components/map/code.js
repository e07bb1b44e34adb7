/* The map's code on its way to the page: see loader.js. */
export default function () {
  const code = (window.__loupeCode ??= { made: new Map(), waiting: new Set() });
  if (!code.made.has(CODE)) code.made.set(CODE, mountMap);
  for (const wake of [...code.waiting]) wake();
  return () => {};
}
