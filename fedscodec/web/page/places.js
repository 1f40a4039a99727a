// Which latents a part of the walk codes, and in which order. See docs/format.md.

/** How many of the four cells of a square a part codes of each channel. */
export const cornersOf = (part) => (part.cells ? part.cells[0].length : 4);

/** The stretches of a part's stream: which channels of which cells. */
export function placesOf(part) {
  if (!part.cells) return [{ group: 0, groups: 1, row: 0, column: 0, step: 1 }];
  const groups = part.cells.length;
  return part.cells.flatMap((corners, group) => corners.map(([row, column]) => ({ group, groups, row, column, step: 2 })));
}
