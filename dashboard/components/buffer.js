/* One binary column on its way to a component.
 *
 * data: Uint8Array, the first 32 bytes an ASCII content key, the rest the column.
 * The column is put into window.__loupeBuffers under its key; whoever waits for that key is told.
 * Because Streamlit does not re-send an unchanged element, a column travels once however often its map is
 * recoloured. On unmount it is taken out again: receivers hold their own reference.
 */
export default function ({ data, parentElement }) {
  const shelf = (window.__loupeBuffers ??= { held: new Map(), users: new Map(), waiting: new Set() });
  if (!data || data.length < 32) return () => {};
  const key = new TextDecoder().decode(data.subarray(0, 32));
  const owner = (parentElement.__loupeOwner ??= { key: null });
  const release = () => {
    const left = (shelf.users.get(owner.key) ?? 1) - 1;
    if (left > 0) shelf.users.set(owner.key, left);
    else {
      shelf.users.delete(owner.key);
      shelf.held.delete(owner.key);
    }
    owner.key = null;
  };
  if (owner.key !== key) {
    if (owner.key) release();
    owner.key = key;
    shelf.users.set(key, (shelf.users.get(key) ?? 0) + 1);
    if (!shelf.held.has(key)) shelf.held.set(key, data.slice(32)); // a copy starts at offset 0: aligned
    for (const wake of [...shelf.waiting]) wake();
  }
  return () => owner.key && release();
}
