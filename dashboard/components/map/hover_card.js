/* The card of the point under the pointer: from the pack where one was sent, otherwise asked of Python. */
const packedCard = (map, row) => {
  const [sample, token] = map.members ? [map.members[2 * row], map.members[2 * row + 1]] : [row, -1];
  const card = map.pack.card(sample, token), { colour, column } = map;
  const known = card.lines.some((line) => line.startsWith(`${colour?.label}: `));
  if (colour && column && !known) card.lines.push(`${colour.label}: ${valueWords(colour, column, row)}`);
  if (token >= 0) card.lines.push(tokenName(map.pack.header, token));
  return card;
};
const tokenName = ({ leading = 0, grid }, token) => {
  const k = token - leading;
  if (k < 0) return leading === 1 ? "class token" : `leading token ${token}`;
  return grid ? `patch (${Math.floor(k / grid[1]) + 1}, ${(k % grid[1]) + 1})` : `token ${k}`;
};
/* Beside its point, inside the picture. */
const showCard = (map, card) => {
  const [x, y] = map.view.toScreen(...map.points.of(map.hovered)), { view } = map;
  drawCard(map.card, card);
  map.card.hidden = false;
  const w = map.card.offsetWidth, h = map.card.offsetHeight, gap = 14;
  map.card.style.left = `${Math.max(4, x + gap + w < view.width ? x + gap : x - gap - w)}px`;
  map.card.style.top = `${Math.min(Math.max(4, y - h / 2), view.height - h - 4)}px`;
};
